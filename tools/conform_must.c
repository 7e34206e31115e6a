/* SPDX-License-Identifier: MIT */

/* What a plugin must be able to do. A plugin that answers "unsupported" to one of
 * these has failed: without this, one that supports nothing would pass. */

#include "conform_case.h"

enum level {
  LEVEL_CORE,        /* what every plugin with the operation must do */
  LEVEL_NO_EXACT,    /* everything but WEIR_ACT_EXACT */
  LEVEL_ONE_HALF,    /* q, k and v all bf16 or all f16 */
  LEVEL_EVERYTHING
};

static const struct {
  const char *plugin;
  enum level level;
  int strict; /* f32 inside: tol_p is 2^-18 for all types */
} rows[] = {
    {"ref", LEVEL_EVERYTHING, 1},
    {"cpu", LEVEL_NO_EXACT, 1},
    {"cuda-dp4a", LEVEL_NO_EXACT, 1},
    {"cuda-dp4a-scalar", LEVEL_NO_EXACT, 1},
    {"cuda-sdpa-split", LEVEL_ONE_HALF, 0},
    {"cuda-sdpa-standard", LEVEL_ONE_HALF, 0},
};

static int in_matvec_core(const struct matvec_case *item) {
  const weir_matvec_desc *desc = &item->desc;
  return (desc->group == 32 || desc->group == 64 || desc->group == 128) && desc->m_max <= 8 &&
         desc->form == WEIR_FORM_ZERO && desc->act == WEIR_ACT_INT8 && desc->zero_type == WEIR_NONE &&
         (desc->scale_type == WEIR_F16 || desc->scale_type == WEIR_BF16) && desc->x_type == WEIR_BF16 &&
         desc->y_type == WEIR_BF16 && desc->bias_type == WEIR_NONE;
}

static int in_sdpa_core(const struct sdpa_case *item) {
  const weir_sdpa_desc *desc = &item->desc;
  return (desc->head_dim == 64 || desc->head_dim == 128 || desc->head_dim == 256) && desc->q_len_max == 1 &&
         desc->q_heads / desc->kv_heads <= 8 && desc->q_type == WEIR_BF16 && desc->kv_type == WEIR_BF16 &&
         desc->o_type == WEIR_BF16 && desc->mask == WEIR_MASK_NONE && desc->softcap == 0 && desc->window == 0;
}

int conform_must(const char *plugin, const struct conform_case *item) {
  enum level level = LEVEL_CORE;
  for (size_t i = 0; i < COUNT_OF(rows); ++i) {
    if (strcmp(rows[i].plugin, plugin) == 0) {
      level = rows[i].level;
    }
  }
  if (item->op == WEIR_OP_SDPA) {
    const weir_sdpa_desc *desc = &item->u.sdpa.desc;
    return level == LEVEL_ONE_HALF ? desc->q_type == desc->kv_type && desc->q_type != WEIR_F32
                                   : level != LEVEL_CORE || in_sdpa_core(&item->u.sdpa);
  }
  switch (level) {
    case LEVEL_EVERYTHING:
      return 1;
    case LEVEL_NO_EXACT:
      return item->u.matvec.desc.act != WEIR_ACT_EXACT;
    default:
      return in_matvec_core(&item->u.matvec);
  }
}

int conform_strict(const char *plugin) {
  for (size_t i = 0; i < COUNT_OF(rows); ++i) {
    if (strcmp(rows[i].plugin, plugin) == 0) {
      return rows[i].strict;
    }
  }
  return 0;
}
