/* SPDX-License-Identifier: MIT */

/* Descriptors checked once against plugin.h, so that plugins need not. */
#include "config.h"

#include <math.h>

#include "internal.h"

#define TYPE_BIT(type) (1u << (type))
enum {
  FLOATS = TYPE_BIT(WEIR_F32) | TYPE_BIT(WEIR_F16) | TYPE_BIT(WEIR_BF16),
  LARGEST = 1 << 30, /* keeps every product of two dimensions and an element size within 64 bits */
};

static weir_status check_type(const char *what, weir_type type, uint32_t allowed) {
  if (type < 32 && allowed & TYPE_BIT(type)) return WEIR_OK;
  struct text names = {0};
  for (weir_type one = 0; one < 32; one++)
    if (allowed & TYPE_BIT(one)) text_add(&names, "%s%s", names.length ? ", " : "", weir_type_name(one));
  weir_fail(WEIR_E_TYPE, "%s is %s (%u); it must be one of %s", what, weir_type_name(type), type,
            names.data ? names.data : "the types in plugin.h");
  text_free(&names);
  return WEIR_E_TYPE;
}

static weir_status check_dimension(const char *what, uint32_t value) {
  if (value >= 1 && value <= LARGEST) return WEIR_OK;
  return weir_fail(WEIR_E_SHAPE, "%s is %u; it must be from 1 to %d", what, value, LARGEST);
}

static bool group_known(uint32_t group, uint32_t k) {
  return group == 16 || group == 32 || group == 64 || group == 128 || group == 256 || group == k;
}

static weir_status check_matvec_shape(const weir_matvec_desc *desc) {
  weir_status status = check_dimension("n", desc->n);
  if (!status) status = check_dimension("k", desc->k);
  if (!status) status = check_dimension("m_max", desc->m_max);
  if (status) return status;
  if (!group_known(desc->group, desc->k))
    return weir_fail(WEIR_E_SHAPE, "group is %u; it must be 16, 32, 64, 128, 256 or k (%u)", desc->group, desc->k);
  if (desc->k % desc->group)
    return weir_fail(WEIR_E_SHAPE, "k = %u is not a multiple of group = %u; pad the weights along k, or use another group",
                     desc->k, desc->group);
  if (desc->op == WEIR_OP_INT4_MATVEC && desc->k % 2)
    return weir_fail(WEIR_E_SHAPE, "k = %u is odd, and int4 codes come in pairs; pad the weights along k", desc->k);
  return WEIR_OK;
}

static weir_status check_matvec_types(const weir_matvec_desc *desc) {
  uint32_t zeros = FLOATS;
  if (desc->form == WEIR_FORM_ZERO)
    zeros |= TYPE_BIT(WEIR_NONE) | TYPE_BIT(desc->op == WEIR_OP_INT4_MATVEC ? WEIR_U8 : WEIR_S8);
  weir_status status = check_type("scale_type", desc->scale_type, FLOATS);
  if (!status)
    status = check_type(desc->form == WEIR_FORM_MIN ? "zero_type (of WEIR_FORM_MIN)" : "zero_type", desc->zero_type,
                        zeros);
  if (!status) status = check_type("x_type", desc->x_type, FLOATS);
  if (!status) status = check_type("y_type", desc->y_type, FLOATS);
  if (!status) status = check_type("bias_type", desc->bias_type, FLOATS | TYPE_BIT(WEIR_NONE));
  return status;
}

weir_status desc_check_matvec(const weir_matvec_desc *in, weir_matvec_desc *out_desc) {
  weir_status status = weir_struct_in(out_desc, sizeof *out_desc, in, sizeof *out_desc, "weir_matvec_desc");
  if (status) return status;
  if (out_desc->op != WEIR_OP_INT4_MATVEC && out_desc->op != WEIR_OP_INT8_MATVEC)
    return weir_fail(WEIR_E_INVALID, "op is %u; a matvec is WEIR_OP_INT4_MATVEC (%d) or WEIR_OP_INT8_MATVEC (%d)",
                     out_desc->op, WEIR_OP_INT4_MATVEC, WEIR_OP_INT8_MATVEC);
  if (out_desc->flags)
    return weir_fail(WEIR_E_FLAGS, "weir_matvec_desc.flags is 0x%x; no flag is defined, pass 0", out_desc->flags);
  if (out_desc->form > WEIR_FORM_MIN)
    return weir_fail(WEIR_E_INVALID, "form is %u; use WEIR_FORM_ZERO (0) or WEIR_FORM_MIN (1)", out_desc->form);
  if (out_desc->act > WEIR_ACT_EXACT)
    return weir_fail(WEIR_E_INVALID, "act is %u; use WEIR_ACT_INT8 (0) or WEIR_ACT_EXACT (1)", out_desc->act);
  status = check_matvec_shape(out_desc);
  if (!status) status = check_matvec_types(out_desc);
  return status;
}

weir_type mask_element_type(weir_mask mask) {
  static const weir_type types[] = {WEIR_NONE, WEIR_U8, WEIR_F32, WEIR_F16, WEIR_BF16};
  return mask < COUNT_OF(types) ? types[mask] : WEIR_NONE;
}


weir_status desc_check_sdpa(const weir_sdpa_desc *in, weir_sdpa_desc *out_desc) {
  weir_status status = weir_struct_in(out_desc, sizeof *out_desc, in, sizeof *out_desc, "weir_sdpa_desc");
  if (status) return status;
  const weir_sdpa_desc *desc = out_desc;
  if (desc->op != WEIR_OP_SDPA)
    return weir_fail(WEIR_E_INVALID, "op is %u; attention is WEIR_OP_SDPA (%d)", desc->op, WEIR_OP_SDPA);
  uint32_t unknown = desc->flags & ~(uint32_t)(WEIR_SDPA_CAUSAL | WEIR_SDPA_KV_LEN);
  if (unknown)
    return weir_fail(WEIR_E_FLAGS, "weir_sdpa_desc.flags has unknown bits 0x%x; clear them or install a newer libweir",
                     unknown);
  const struct {
    const char *name;
    uint32_t value;
  } dimensions[] = {{"batch", desc->batch},           {"q_heads", desc->q_heads},
                    {"kv_heads", desc->kv_heads},     {"q_len_max", desc->q_len_max},
                    {"kv_capacity", desc->kv_capacity}};
  for (size_t i = 0; i < COUNT_OF(dimensions); i++) {
    status = check_dimension(dimensions[i].name, dimensions[i].value);
    if (status) return status;
  }
  if (desc->q_heads % desc->kv_heads)
    return weir_fail(WEIR_E_SHAPE, "q_heads = %u is not a multiple of kv_heads = %u", desc->q_heads, desc->kv_heads);
  if (desc->head_dim < 8 || desc->head_dim > 512 || desc->head_dim % 8)
    return weir_fail(WEIR_E_SHAPE, "head_dim is %u; it must be a multiple of 8 from 8 to 512", desc->head_dim);
  if (desc->kv_len_hint > desc->kv_capacity)
    return weir_fail(WEIR_E_SHAPE, "kv_len_hint = %u is above kv_capacity = %u", desc->kv_len_hint, desc->kv_capacity);
  status = check_type("q_type", desc->q_type, FLOATS);
  if (!status) status = check_type("kv_type", desc->kv_type, FLOATS);
  if (!status) status = check_type("o_type", desc->o_type, FLOATS);
  if (status) return status;
  if (desc->mask > WEIR_MASK_BF16)
    return weir_fail(WEIR_E_TYPE, "mask is %u; use one of WEIR_MASK_NONE (0) to WEIR_MASK_BF16 (%d)", desc->mask,
                     WEIR_MASK_BF16);
  if (!isfinite(desc->scale))
    return weir_fail(WEIR_E_INVALID, "scale is %g; it must be finite, such as 1/sqrt(head_dim)", (double)desc->scale);
  if (!isfinite(desc->softcap) || desc->softcap < 0)
    return weir_fail(WEIR_E_INVALID, "softcap is %g; it must be finite and above 0, or 0 for none",
                     (double)desc->softcap);
  return WEIR_OK;
}
