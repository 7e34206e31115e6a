/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

/* The members that an import reads and writes end here. */
enum {
  DESC_LEAST = offsetof(weir_matvec_desc, zero_type) + sizeof(weir_type),
  TENSOR_LEAST = offsetof(weir_tensor, bytes) + sizeof(uint64_t)
};

/* A tensor seen as a matrix, checked. */
struct matrix {
  weir_tensor tensor;
  const struct import_type *type;
  const struct gguf_layout *layout;
  uint64_t rows, k, row_bytes;
};

/* The canonical form of a matrix. */
struct target {
  weir_op op;
  uint32_t group;
  weir_form form;
  weir_type scale_type, zero_type;
  bool exact;
};

static const char *name_of(const weir_tensor *tensor) { return tensor->name ? tensor->name : "(no name)"; }

static weir_status read_matrix(const weir_tensor *in, struct matrix *out_matrix) {
  struct matrix *m = out_matrix;
  weir_status status = weir_struct_in(&m->tensor, sizeof m->tensor, in, TENSOR_LEAST, "weir_tensor");
  if (status) return status;
  m->type = import_type_find(m->tensor.type);
  m->layout = gguf_layout_find(m->tensor.type);
  if (!m->type) {
    char number[32];
    snprintf(number, sizeof number, "type %" PRIu32, m->tensor.type);
    return weir_fail(WEIR_E_TYPE,
                     "tensor '%s' is of type %s, which has no importer; there are importers for %s, so quantise the "
                     "model to one of them, such as Q4_K or Q8_0",
                     name_of(&m->tensor), m->layout ? m->layout->name : number, import_type_names);
  }
  char what[160];
  uint64_t bytes;
  snprintf(what, sizeof what, "tensor '%s'", name_of(&m->tensor));
  status = gguf_tensor_bytes(what, m->layout, m->tensor.dim_count, m->tensor.dims, &bytes);
  if (status) return status;
  m->k = m->tensor.dims[0];
  m->rows = 1;
  for (uint32_t i = 1; i < m->tensor.dim_count; i++) m->rows *= m->tensor.dims[i];
  m->row_bytes = bytes / m->rows;
  return WEIR_OK;
}

static weir_status check_data(const struct matrix *m) {
  if (!m->tensor.data) return weir_fail(WEIR_E_NULL, "tensor '%s' has null data", name_of(&m->tensor));
  if (m->tensor.bytes / m->row_bytes < m->rows)
    return weir_fail(WEIR_E_INVALID, "tensor '%s' has %" PRIu64 " bytes; its shape and type (%s) take %" PRIu64,
                     name_of(&m->tensor), m->tensor.bytes, m->layout->name, m->rows * m->row_bytes);
  return WEIR_OK;
}

static weir_status choose_target(const struct matrix *m, weir_op op, struct target *out_target) {
  const struct import_type *type = m->type;
  if (op == 0) op = type->op;
  if (op != WEIR_OP_INT4_MATVEC && op != WEIR_OP_INT8_MATVEC)
    return weir_fail(WEIR_E_INVALID, "tensor '%s' cannot be imported for op %" PRIu32
                     " (%s); give int4_matvec (1), int8_matvec (2), or 0 for the best fit",
                     name_of(&m->tensor), op, weir_op_name(op));
  if (m->tensor.dim_count < 2)
    return weir_fail(WEIR_E_SHAPE, "tensor '%s' is a vector of %" PRIu64 " elements, no matrix; read it with "
                     "weir_tensor_rows", name_of(&m->tensor), m->k);
  if (m->k > UINT32_MAX || m->rows > UINT32_MAX)
    return weir_fail(WEIR_E_SHAPE, "tensor '%s' is a matrix of %" PRIu64 " rows by %" PRIu64
                     "; at most %" PRIu32 " are possible", name_of(&m->tensor), m->rows, m->k, UINT32_MAX);
  bool int4 = op == WEIR_OP_INT4_MATVEC;
  *out_target = (struct target){.op = op};
  /* Every quantised type's codes fit int8; those that start as int4 fit both. */
  if (type->group && (!int4 || type->op == WEIR_OP_INT4_MATVEC)) {
    out_target->exact = true;
    out_target->group = type->group;
    out_target->form = type->form;
    out_target->scale_type = type->scale_type;
    out_target->zero_type = type->form == WEIR_FORM_MIN ? type->scale_type : WEIR_NONE;
    return WEIR_OK;
  }
  if (int4 && m->k % 2 != 0)
    return weir_fail(WEIR_E_SHAPE, "tensor '%s' has rows of %" PRIu64
                     " weights; int4 needs an even number, so import it as int8", name_of(&m->tensor), m->k);
  out_target->group = m->k % 32 == 0 ? 32 : m->k % 16 == 0 ? 16 : (uint32_t)m->k;
  out_target->form = int4 ? WEIR_FORM_MIN : WEIR_FORM_ZERO;
  out_target->scale_type = WEIR_F32;
  out_target->zero_type = int4 ? WEIR_F32 : WEIR_NONE;
  return WEIR_OK;
}

weir_status weir_import_describe(const weir_tensor *tensor, weir_op op, weir_matvec_desc *out_desc) {
  weir_matvec_desc desc;
  struct matrix m;
  struct target target = {0};
  weir_status bad = weir_struct_in(&desc, sizeof desc, out_desc, DESC_LEAST, "weir_matvec_desc");
  if (bad) return bad;
  desc.op = desc.n = desc.k = desc.group = 0;
  desc.form = desc.scale_type = desc.zero_type = 0;
  weir_status status = read_matrix(tensor, &m);
  if (!status) status = choose_target(&m, op, &target);
  if (!status) {
    desc.op = target.op;
    desc.n = (uint32_t)m.rows;
    desc.k = (uint32_t)m.k;
    desc.group = target.group;
    desc.form = target.form;
    desc.scale_type = target.scale_type;
    desc.zero_type = target.zero_type;
  }
  bad = weir_struct_out(out_desc, &desc, sizeof desc, "weir_matvec_desc");
  return status ? status : bad;
}

/* ---- Exact conversion ---- */

static void pack_nibbles(const int8_t *codes, uint32_t count, int zero, uint8_t *out_bytes) {
  for (uint32_t i = 0; i < count / 2; i++)
    out_bytes[i] = (uint8_t)((codes[2 * i] + zero) | (codes[2 * i + 1] + zero) << 4);
}

static void convert_row(const struct matrix *m, const struct target *target, const uint8_t *row, uint8_t *out_codes,
                        uint8_t *out_scales, uint8_t *out_zeros) {
  int8_t codes[IMPORT_BLOCK_MAX];
  float scales[IMPORT_BLOCK_GROUPS], mins[IMPORT_BLOCK_GROUPS];
  const uint32_t block = m->layout->block, groups = block / target->group;
  for (uint64_t at = 0; at < m->k; at += block, row += m->layout->bytes) {
    m->type->unpack(row, codes, scales, mins);
    if (target->op == WEIR_OP_INT4_MATVEC)
      pack_nibbles(codes, block, m->type->nibble_zero, out_codes + at / 2);
    else
      memcpy(out_codes + at, codes, block);
    uint64_t first = at / target->group;
    if (target->scale_type == WEIR_F16) {
      memcpy(out_scales + 2 * first, &(uint16_t){load_u16(row)}, 2);
      if (out_zeros) memcpy(out_zeros + 2 * first, &(uint16_t){load_u16(row + 2)}, 2);
    } else {
      memcpy(out_scales + 4 * first, scales, 4 * groups);
      if (out_zeros) memcpy(out_zeros + 4 * first, mins, 4 * groups);
    }
  }
}

/* ---- Conversion by rounding ---- */

struct difference {
  double max_abs, sum_of_squares;
  uint64_t count;
};

static void difference_add(struct difference *difference, double imported, double own) {
  difference->count++;
  if (imported == own || (isnan(imported) && isnan(own))) return;
  double distance = fabs(imported - own);
  if (isnan(distance)) distance = INFINITY;
  if (distance > difference->max_abs) difference->max_abs = distance;
  difference->sum_of_squares += distance * distance;
}

/* The nearest code from `least` to `most`; ties go to the even one. */
static int nearest_code(double value, double scale, int least, int most) {
  if (!(scale > 0)) return 0;
  double code = rint(value / scale);
  return code < least ? least : code > most ? most : (int)code;
}

/* int8: scale = max|w| / 127. int4: scale = (max - min) / 15, and min. A NaN or an
 * infinity makes its whole group NaN. */
static void round_group(const float *values, uint32_t count, bool int4, int8_t *out_codes, float *out_scale,
                        float *out_min, struct difference *difference) {
  float least = values[0], most = values[0];
  bool finite = true;
  for (uint32_t i = 0; i < count; i++) {
    if (values[i] < least) least = values[i];
    if (values[i] > most) most = values[i];
    finite = finite && isfinite(values[i]);
  }
  float min = int4 ? least : 0;
  double reach = int4 ? ((double)most - least) / 15 : fmax(-(double)least, most) / 127;
  float scale = finite ? (float)reach : NAN;
  if (!finite) min = int4 ? NAN : 0;
  for (uint32_t i = 0; i < count; i++) {
    int code = nearest_code((double)values[i] - min, scale, int4 ? 0 : -127, int4 ? 15 : 127);
    out_codes[i] = (int8_t)code;
    difference_add(difference, (double)scale * code + min, values[i]);
  }
  *out_scale = scale;
  *out_min = min;
}

static void round_row(const struct matrix *m, const struct target *target, const float *values, int8_t *scratch,
                      uint8_t *out_codes, float *out_scales, float *out_zeros, struct difference *difference) {
  bool int4 = target->op == WEIR_OP_INT4_MATVEC;
  int8_t *codes = int4 ? scratch : (int8_t *)out_codes;
  for (uint64_t at = 0; at < m->k; at += target->group) {
    float min;
    round_group(values + at, target->group, int4, codes + at, &out_scales[at / target->group], &min, difference);
    if (out_zeros) out_zeros[at / target->group] = min;
  }
  if (int4) pack_nibbles(codes, (uint32_t)m->k, 0, out_codes);
}

/* ---- Rows ---- */

static weir_status check_desc(const struct matrix *m, const struct target *target, const weir_matvec_desc *desc) {
  if (desc->n != m->rows || desc->k != m->k)
    return weir_fail(WEIR_E_SHAPE, "tensor '%s' is %" PRIu64 " rows by %" PRIu64 ", the descriptor says %" PRIu32
                     " by %" PRIu32 "; fill it with weir_import_describe", name_of(&m->tensor), m->rows, m->k,
                     desc->n, desc->k);
  const struct {
    const char *name;
    uint32_t given, needed;
  } members[] = {
      {"group", desc->group, target->group},
      {"form", desc->form, target->form},
      {"scale_type", desc->scale_type, target->scale_type},
      {"zero_type", desc->zero_type, target->zero_type},
  };
  for (size_t i = 0; i < COUNT_OF(members); i++)
    if (members[i].given != members[i].needed)
      return weir_fail(WEIR_E_INVALID, "tensor '%s' (%s) is imported to %s with %s = %" PRIu32
                       ", the descriptor says %" PRIu32 "; fill it with weir_import_describe", name_of(&m->tensor),
                       m->layout->name, weir_op_name(target->op), members[i].name, members[i].needed,
                       members[i].given);
  return WEIR_OK;
}

static weir_status check_range(const struct matrix *m, uint64_t n0, uint64_t n1) {
  if (n0 <= n1 && n1 <= m->rows) return WEIR_OK;
  return weir_fail(WEIR_E_INVALID, "tensor '%s' has no rows [%" PRIu64 ",%" PRIu64 "); it has %" PRIu64,
                   name_of(&m->tensor), n0, n1, m->rows);
}

static weir_status check_outputs(const struct target *target, const void *codes, const void *scales,
                                 const void *zeros) {
  if (!codes || !scales)
    return weir_fail(WEIR_E_NULL, "weir_import_rows: %s is null", codes ? "out_scales" : "out_codes");
  if (target->zero_type != WEIR_NONE && !zeros)
    return weir_fail(WEIR_E_NULL, "weir_import_rows: out_zeros is null, but zero_type is %s",
                     weir_type_name(target->zero_type));
  if (target->zero_type == WEIR_NONE && zeros)
    return weir_fail(WEIR_E_INVALID, "weir_import_rows: out_zeros is given, but zero_type is none; pass null");
  return WEIR_OK;
}

weir_status weir_import_rows(const weir_tensor *tensor, const weir_matvec_desc *desc, uint32_t n0, uint32_t n1,
                             void *out_codes, void *out_scales, void *out_zeros, weir_import_error *out_error) {
  struct matrix m;
  struct target target;
  struct difference difference = {0};
  weir_import_error error = {.struct_size = sizeof error};
  weir_matvec_desc wanted;
  float *values = NULL;
  int8_t *scratch = NULL;
  weir_status status = out_error ? weir_struct_out(out_error, &error, sizeof error, "weir_import_error") : WEIR_OK;
  if (!status) status = read_matrix(tensor, &m);
  if (!status) status = weir_struct_in(&wanted, sizeof wanted, desc, DESC_LEAST, "weir_matvec_desc");
  if (!status && wanted.op == 0)
    status = weir_fail(WEIR_E_INVALID, "the descriptor's op is 0; fill it with weir_import_describe");
  if (!status) status = choose_target(&m, wanted.op, &target);
  if (!status) status = check_desc(&m, &target, &wanted);
  if (!status) status = check_range(&m, n0, n1);
  if (!status) status = check_data(&m);
  if (!status) status = check_outputs(&target, out_codes, out_scales, out_zeros);
  if (status) return status;

  if (!target.exact) {
    values = m.k <= SIZE_MAX / sizeof *values ? malloc((size_t)m.k * sizeof *values) : NULL;
    scratch = malloc((size_t)m.k);
    if (!values || !scratch) {
      status = weir_fail(WEIR_E_NOMEM, "tensor '%s': no memory for a row of %" PRIu64 " weights",
                         name_of(&m.tensor), m.k);
      goto out;
    }
  }
  const uint8_t *row = (const uint8_t *)m.tensor.data + n0 * m.row_bytes;
  const size_t code_bytes = (size_t)(target.op == WEIR_OP_INT4_MATVEC ? m.k / 2 : m.k);
  const size_t scale_bytes = (size_t)(m.k / target.group) * weir_type_size(target.scale_type);
  uint8_t *codes = out_codes, *scales = out_scales, *zeros = out_zeros;
  for (uint32_t n = n0; n < n1; n++) {
    if (target.exact) {
      convert_row(&m, &target, row, codes, scales, zeros);
    } else {
      import_row_values(m.type, m.layout, row, m.k, values);
      round_row(&m, &target, values, scratch, codes, (float *)(void *)scales, (float *)(void *)zeros, &difference);
    }
    row += m.row_bytes;
    codes += code_bytes;
    scales += scale_bytes;
    if (zeros) zeros += scale_bytes;
  }
  if (out_error && difference.count) {
    error.max_abs = difference.max_abs;
    error.rms = sqrt(difference.sum_of_squares / (double)difference.count);
    status = weir_struct_out(out_error, &error, sizeof error, "weir_import_error");
  }
out:
  free(scratch);
  free(values);
  return status;
}

weir_status weir_tensor_rows(const weir_tensor *tensor, uint64_t n0, uint64_t n1, float *out_rows) {
  struct matrix m;
  if (!out_rows) return weir_fail(WEIR_E_NULL, "weir_tensor_rows: out_rows is null");
  weir_status status = read_matrix(tensor, &m);
  if (!status) status = check_range(&m, n0, n1);
  if (!status) status = check_data(&m);
  if (status) return status;
  for (uint64_t n = n0; n < n1; n++)
    import_row_values(m.type, m.layout, (const uint8_t *)m.tensor.data + n * m.row_bytes, m.k,
                      out_rows + (n - n0) * m.k);
  return WEIR_OK;
}
