/* SPDX-License-Identifier: MIT */

/* Repeatable random numbers: the same seed gives the same data on every machine. */
#ifndef TOOLS_RNG_H
#define TOOLS_RNG_H

#include <stdint.h>

struct rng {
  uint64_t state[4];
};

static inline uint64_t rng_mix(uint64_t x) { /* splitmix64's finaliser */
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static inline void rng_seed(struct rng *rng, uint64_t seed) {
  for (int i = 0; i < 4; ++i) {
    rng->state[i] = rng_mix(seed + (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15));
  }
}

/* A seed from a seed and a name, so that a case has its data whichever cases run before it. */
static inline uint64_t rng_seed_of(uint64_t seed, const char *name) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  while (*name) {
    hash = (hash ^ (unsigned char)*name++) * UINT64_C(0x100000001b3);
  }
  return rng_mix(hash ^ rng_mix(seed));
}

static inline uint64_t rng_next(struct rng *rng) { /* xoshiro256** */
  uint64_t *s = rng->state, x = s[1] * 5, result = ((x << 7) | (x >> 57)) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = (s[3] << 45) | (s[3] >> 19);
  return result;
}

/* 0 .. count - 1 */
static inline uint32_t rng_below(struct rng *rng, uint32_t count) {
  return (uint32_t)(((rng_next(rng) >> 32) * count) >> 32);
}

/* [0,1) */
static inline double rng_unit(struct rng *rng) { return (double)(rng_next(rng) >> 11) * 0x1p-53; }

static inline double rng_between(struct rng *rng, double low, double high) {
  return low + (high - low) * rng_unit(rng);
}

/* Mean 0, variance 1, within +-6: the sum of twelve uniforms, so that no libm is
 * involved and the bits are the same everywhere. */
static inline double rng_normal(struct rng *rng) {
  uint64_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    uint64_t bits = rng_next(rng);
    sum += (bits & 0x1fffff) + ((bits >> 21) & 0x1fffff) + (bits >> 43);
  }
  return (double)sum * 0x1p-21 - (6.0 - 6 * 0x1p-21);
}

#endif
