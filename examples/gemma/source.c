/* SPDX-License-Identifier: MIT */
#include "source.h"

#include "number.h"
#include "synthetic.h"
#include "tensors.h"

static weir_status find(const gemma_source *source, const char *name, weir_tensor *out_tensor) {
  *out_tensor = (weir_tensor){.struct_size = sizeof *out_tensor};
  return weir->gguf_find(source->gguf, name, out_tensor);
}

weir_status gemma_source_describe(const gemma_source *source, const char *name, uint32_t n, uint32_t k, weir_op op,
                                  weir_matvec_desc *desc) {
  weir_tensor tensor;
  if (!source->gguf) return gemma_synthetic_describe(n, k, op, desc);
  weir_status status = find(source, name, &tensor);
  return status ? status : weir->import_describe(&tensor, op, desc);
}

weir_status gemma_source_rows(const gemma_source *source, const char *name, const weir_matvec_desc *desc, uint32_t n0,
                              uint32_t n1, void *out_codes, void *out_scales, void *out_zeros) {
  weir_tensor tensor;
  if (!source->gguf) return gemma_synthetic_rows(name, desc, n0, n1, out_codes, out_scales, out_zeros);
  weir_status status = find(source, name, &tensor);
  return status ? status : weir->import_rows(&tensor, desc, n0, n1, out_codes, out_scales, out_zeros, NULL);
}

weir_status gemma_source_vector(const gemma_source *source, const char *name, uint32_t size, float *out_vector) {
  weir_tensor tensor;
  if (!source->gguf) {
    for (uint32_t i = 0; i < size; i++) out_vector[i] = 1;
    return WEIR_OK;
  }
  weir_status status = find(source, name, &tensor);
  return status ? status : weir->tensor_rows(&tensor, 0, 1, out_vector);
}

const char *gemma_source_head(const gemma_source *source) {
  weir_tensor tensor;
  if (!source->gguf || find(source, GEMMA_HEAD_TENSOR, &tensor) == WEIR_OK) return GEMMA_HEAD_TENSOR;
  return GEMMA_EMBEDDING_TENSOR;
}

uint64_t gemma_code_bytes(const weir_matvec_desc *desc) {
  return desc->op == WEIR_OP_INT4_MATVEC ? desc->k / 2 : desc->k;
}

uint64_t gemma_scale_bytes(const weir_matvec_desc *desc) {
  return (uint64_t)(desc->k / desc->group) * number_size(desc->scale_type);
}

uint64_t gemma_zero_bytes(const weir_matvec_desc *desc) {
  return (uint64_t)(desc->k / desc->group) * number_size(desc->zero_type);
}
