/* SPDX-License-Identifier: MIT */
#include "synthetic.h"

#include <math.h>
#include <string.h>

#include "number.h"
#include "rng.h"
#include "source.h"

static const double int4_rms = 4.61, int8_rms = 73.9; /* of codes that are equally likely, about their middle */
enum { INT4_GROUP = 32, ZERO_LEAST = 7, ZEROS = 2 };

weir_status gemma_synthetic_describe(uint32_t n, uint32_t k, weir_op op, weir_matvec_desc *desc) {
  desc->op = op ? op : WEIR_OP_INT4_MATVEC;
  desc->n = n;
  desc->k = k;
  desc->form = WEIR_FORM_ZERO;
  desc->scale_type = WEIR_BF16;
  if (desc->op == WEIR_OP_INT4_MATVEC) {
    desc->group = INT4_GROUP;
    desc->zero_type = WEIR_U8;
  } else {
    desc->group = k;
    desc->zero_type = WEIR_NONE;
  }
  return WEIR_OK;
}

static void random_bytes(struct rng *rng, uint8_t *out, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += 8) {
    uint64_t bits = rng_next(rng);
    memcpy(out + at, &bits, bytes - at < 8 ? (size_t)(bytes - at) : 8);
  }
}

weir_status gemma_synthetic_rows(const char *name, const weir_matvec_desc *desc, uint32_t n0, uint32_t n1,
                                 void *out_codes, void *out_scales, void *out_zeros) {
  const uint64_t codes = gemma_code_bytes(desc), groups = desc->k / desc->group, seed = rng_seed_of(1, name);
  /* The embedding's rows are multiplied by sqrt(k) when they are read, other sums have k terms. */
  const double middle = 1 / (sqrt(desc->k) * (desc->op == WEIR_OP_INT4_MATVEC ? int4_rms : int8_rms));
  for (uint32_t n = n0; n < n1; n++) {
    uint64_t row = n - n0;
    struct rng rng;
    rng_seed(&rng, seed + n);
    random_bytes(&rng, (uint8_t *)out_codes + row * codes, codes);
    for (uint64_t g = row * groups; g < (row + 1) * groups; g++) {
      ((uint16_t *)out_scales)[g] = number_to_bf16((float)rng_between(&rng, 0.75 * middle, 1.25 * middle));
      if (out_zeros) ((uint8_t *)out_zeros)[g] = (uint8_t)(ZERO_LEAST + rng_below(&rng, ZEROS));
    }
  }
  return WEIR_OK;
}
