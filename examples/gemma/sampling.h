/* SPDX-License-Identifier: MIT */

/* sampling.h: which token a row of logits gives. The rule is made of operations that have
 * the same result on every device, so that ops_cpu.c and gemma_sample.cuh choose alike.
 *
 *   NaN: a logit that is NaN is never chosen; when all are, the token is 0.
 *   temperature 0: the greatest logit, the lowest of equal tokens.
 *   else: token t has a weight, an integer next to 2^40 * exp((logit[t] - most) / temperature),
 *     most being the greatest logit; it is 0 below 2^-40 of the greatest weight.
 *       x = logit[t] == most ? 0 : (logit[t] - most) * (float)(log2(e) / temperature)
 *       n = x rounded half to even, f = x - n, e = 2^f by GEMMA_EXP2_*, each step a fused multiply-add
 *       key    = 1 + (bits of e less those of 1, + (n + 40) * 2^23), or 0 where x >= -40 does not hold
 *       weight = (2^23 + (key - 1) % 2^23) << (key - 1) / 2^23 >> 23
 *     All in f32; keys are in the order of weights.
 *   top_p: total is the sum of all weights, goal = ceil(top_p * total) in f64, within 1..total. A
 *     token is kept when its key is at least the greatest key at which the weights of all keys from
 *     there on reach goal: equally likely tokens are kept or dropped together. top_p >= 1 keeps all.
 *   The choice: z = splitmix64(seed, position), position being the new token's own;
 *     u = the upper 64 bits of z * (sum of the kept weights). The token is the first, in order of
 *     ids, at which the running sum of kept weights exceeds u.
 */
#ifndef GEMMA_SAMPLING_H
#define GEMMA_SAMPLING_H

#include <stdint.h>

/* ln(2)^k / k!: the series of 2^f; |f| <= 1/2, so what is left out is below 2^-27. */
#define GEMMA_EXP2_1 0x1.62e43p-1f
#define GEMMA_EXP2_2 0x1.ebfbep-3f
#define GEMMA_EXP2_3 0x1.c6b08ep-5f
#define GEMMA_EXP2_4 0x1.3b2ab6p-7f
#define GEMMA_EXP2_5 0x1.5d87fep-10f
#define GEMMA_EXP2_6 0x1.430912p-13f
#define GEMMA_EXP2_7 0x1.ffcbfcp-17f

enum { GEMMA_KEY_LEAST = -40, /* of x */ GEMMA_KEY_MOST = 1 + (40 << 23) };

#ifdef DEVICE /* of device.cuh, which kernels include first */
#define GEMMA_SAMPLING DEVICE
#else
#define GEMMA_SAMPLING static inline
#endif

GEMMA_SAMPLING uint64_t gemma_weight(uint32_t key) {
  if (key == 0) return 0;
  return ((uint64_t)(1u << 23 | ((key - 1) & 0x7fffffu)) << ((key - 1) >> 23)) >> 23;
}

GEMMA_SAMPLING uint64_t gemma_splitmix64(uint64_t seed, uint64_t n) {
  uint64_t z = seed + (n + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* The upper 64 bits of a * b. */
GEMMA_SAMPLING uint64_t gemma_upper_product(uint64_t a, uint64_t b) {
  uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
  uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & 0xffffffffu);
  return a1 * b1 + (middle >> 32) + (other >> 32);
}

#ifndef __CUDACC__
#ifndef WEIR_EMULATE
#include "ops.h"

/* Host memory; softcap is applied already. WEIR_E_NOMEM: no memory for a top_p below 1. */
weir_status gemma_choose(const gemma_sampling *sampling, const float *logits, uint32_t vocabulary, uint32_t position,
                         int32_t *out_token);
#endif
#endif
#endif
