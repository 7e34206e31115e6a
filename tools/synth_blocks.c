/* SPDX-License-Identifier: MIT */

/* Quantised blocks made directly: codes are random bits, scales bounded random
 * numbers chosen so that the weights have the wanted size. The layouts are those
 * that lib/import_blocks.c describes. */
#include <string.h>

#include "number.h"
#include "synth.h"

static const struct layout {
  uint32_t type, weights, bytes;
} layouts[] = {
    {SYNTH_F32, 1, 4}, {SYNTH_Q5_0, 32, 22}, {SYNTH_Q8_0, 32, 34}, {SYNTH_Q4_K, 256, 144}, {SYNTH_Q6_K, 256, 210},
};

static const struct layout *layout_of(enum synth_type type) {
  const struct layout *layout = layouts;
  while (layout->type != type) layout++;
  return layout;
}

uint64_t synth_block_weights(enum synth_type type) { return layout_of(type)->weights; }
uint64_t synth_block_bytes(enum synth_type type) { return layout_of(type)->bytes; }

/* The root mean squares of uniform codes: -16..15, -128..127, 0..15 about their
 * mean, -32..31; and of the sub-scales below. */
static const double q5_rms = 9.247, q8_rms = 73.90, q4_spread = 4.610, q6_rms = 18.48;
static const double q4_sub_rms = 48.4, q6_sub_rms = 84.2;

static void put_half(uint8_t *out, double value) {
  uint16_t bits = number_to_f16((float)value);
  out[0] = (uint8_t)bits;
  out[1] = (uint8_t)(bits >> 8);
}

static void fill_bits(struct rng *rng, uint8_t *out, size_t size) {
  for (size_t i = 0; i < size; i += 8) {
    uint64_t bits = rng_next(rng);
    for (size_t j = 0; j < 8 && i + j < size; j++) out[i + j] = (uint8_t)(bits >> 8 * j);
  }
}

/* Eight sub-scales of 32..63 and sub-mins near them. A min of 7.5 times the scale
 * puts zero in the middle of the codes. */
static void fill_q4_k_scales(struct rng *rng, double scale, uint8_t *block) {
  uint8_t *s = block + 4;
  put_half(block, scale);
  put_half(block + 2, 7.5 * scale);
  memset(s, 0, 12);
  for (int g = 0; g < 8; g++) {
    uint32_t sub = 32 + rng_below(rng, 32), min = sub - 2 + rng_below(rng, 5);
    if (min > 63) min = 63;
    if (g < 4) {
      s[g] |= (uint8_t)sub;
      s[g + 4] |= (uint8_t)min;
    } else {
      s[g + 4] |= (uint8_t)((sub & 15) | (min & 15) << 4);
      s[g - 4] |= (uint8_t)((sub >> 4) << 6);
      s[g] |= (uint8_t)((min >> 4) << 6);
    }
  }
}

void synth_fill(struct rng *rng, enum synth_type type, double rms, uint64_t count, uint8_t *out_blocks) {
  const struct layout *layout = layout_of(type);
  for (uint64_t b = 0; b < count; b++) {
    uint8_t *block = out_blocks + b * layout->bytes;
    double scale = rms * rng_between(rng, 0.75, 1.25);
    fill_bits(rng, block, layout->bytes);
    if (type == SYNTH_F32) {
      uint32_t bits = number_f32_bits((float)(rms * rng_between(rng, 0.5, 1.5)));
      for (int i = 0; i < 4; i++) block[i] = (uint8_t)(bits >> 8 * i);
    } else if (type == SYNTH_Q5_0) {
      put_half(block, scale / q5_rms);
    } else if (type == SYNTH_Q8_0) {
      put_half(block, scale / q8_rms);
    } else if (type == SYNTH_Q4_K) {
      fill_q4_k_scales(rng, scale / (q4_spread * q4_sub_rms), block);
    } else {
      for (int g = 0; g < 16; g++) {
        uint32_t sub = 32 + rng_below(rng, 96);
        block[192 + g] = (uint8_t)(rng_below(rng, 2) ? sub : 256 - sub);
      }
      put_half(block + 208, scale / (q6_rms * q6_sub_rms));
    }
  }
}
