/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "parallel.h"
#include "weights.h"

enum { HOST_ALIGNMENT = 4096 };
#define BLOCK_BYTES (1u << 20) /* of canonical rows that a thread has at a time */

/* A tensor on its way: canonical rows are packed, or are the blobs themselves. */
typedef struct making {
  const gemma_source *source;
  const char *tensor;
  const weir_matvec_desc *desc; /* of the tensor */
  const weir_plan *plan; /* null: stay canonical */
  uint32_t first;        /* row of the packed matrix */
  uint64_t packed_size;
  void *packed;
  char *codes, *scales, *zeros;
} making;

static weir_status pack_rows(void *arg, uint32_t n0, uint32_t n1) {
  const making *making = arg;
  const weir_matvec_desc *desc = making->desc;
  const uint64_t rows = n1 - n0, codes = rows * gemma_code_bytes(desc), scales = rows * gemma_scale_bytes(desc);
  char *memory = malloc(codes + scales + rows * gemma_zero_bytes(desc) + 16);
  if (!memory) return gemma_fail(WEIR_E_NOMEM, "no memory for %u rows of tensor %s", n1 - n0, making->tensor);
  char *scales_at = memory + (codes + 7) / 8 * 8, *zeros_at = scales_at + scales;
  weir_matvec_source source = {.struct_size = sizeof source,
                               .codes = memory,
                               .scales = scales_at,
                               .zeros = desc->zero_type ? zeros_at : NULL};
  weir_status status = gemma_source_rows(making->source, making->tensor, desc, n0, n1, memory, scales_at,
                                         desc->zero_type ? zeros_at : NULL);
  if (!status)
    status = weir->pack(making->plan, &source, making->first + n0, making->first + n1, making->packed, making->packed_size);
  free(memory);
  return status;
}

static weir_status copy_rows(void *arg, uint32_t n0, uint32_t n1) {
  const making *making = arg;
  const weir_matvec_desc *desc = making->desc;
  return gemma_source_rows(making->source, making->tensor, desc, n0, n1, making->codes + n0 * gemma_code_bytes(desc),
                           making->scales + n0 * gemma_scale_bytes(desc),
                           making->zeros ? making->zeros + n0 * gemma_zero_bytes(desc) : NULL);
}

static weir_status make_rows(making *making) {
  uint64_t row = gemma_code_bytes(making->desc) + gemma_scale_bytes(making->desc) + gemma_zero_bytes(making->desc);
  uint32_t block = row < BLOCK_BYTES ? (uint32_t)(BLOCK_BYTES / row) : 1;
  return gemma_parallel(making->desc->n, block, making->plan ? pack_rows : copy_rows, making);
}

/* Host memory in which blobs are made; on the CPU it is the device's own. */
typedef struct maker {
  gemma_weights *weights;
  bool in_place;
  char *host;
  gemma_blob_fn save;
  void *user;
} maker;

static char *place(const maker *maker, const gemma_blob *blob, uint64_t at) {
  return maker->in_place ? blob->memory : maker->host + at;
}

static weir_status hand_over(const maker *maker, const gemma_blob *blob, const void *bytes) {
  weir_status status = WEIR_OK;
  if (bytes != blob->memory) status = weir->memory_upload(maker->weights->device, blob->memory, bytes, blob->bytes, NULL);
  if (!status && maker->save) status = maker->save(maker->user, blob, bytes);
  return status;
}

static weir_status make_table(const maker *maker) {
  const gemma_weights *weights = maker->weights;
  const gemma_blob *part[] = {weights->table_codes, weights->table_scales, weights->table_zeros};
  char *at[3] = {NULL};
  uint64_t used = 0;
  for (int i = 0; i < 3 && part[i]; used += part[i++]->bytes) at[i] = place(maker, part[i], used);
  making making = {.source = weights->source,
                   .tensor = GEMMA_EMBEDDING_TENSOR,
                   .desc = &weights->table.desc,
                   .codes = at[0],
                   .scales = at[1],
                   .zeros = at[2]};
  weir_status status = make_rows(&making);
  for (int i = 0; i < 3 && part[i] && !status; i++) status = hand_over(maker, part[i], at[i]);
  return status;
}

static weir_status make_matrix(const maker *maker, const gemma_matrix *matrix, char **out_packed) {
  weir_matvec_desc desc = matrix->plan->desc;
  making making = {.source = maker->weights->source,
                   .desc = &desc,
                   .plan = matrix->plan->many.plan,
                   .packed_size = matrix->blob->bytes,
                   .packed = *out_packed = place(maker, matrix->blob, 0)};
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < matrix->parts && !status; i++) {
    making.tensor = matrix->part[i].tensor;
    desc.n = matrix->part[i].n;
    status = make_rows(&making);
    making.first += desc.n;
  }
  return status ? status : hand_over(maker, matrix->blob, *out_packed);
}

/* Random matrices of one plan are all alike. */
static weir_status copy_matrices(const maker *maker, const gemma_plan *plan, const gemma_matrix *but, const char *packed) {
  gemma_weights *weights = maker->weights;
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < weights->source->config.layers; i++)
    for (int role = 0; role < GEMMA_ROLES && !status; role++) {
      const gemma_matrix *matrix = &weights->layer[i].matrix[role];
      if (matrix->plan == plan && matrix != but) status = hand_over(maker, matrix->blob, packed);
    }
  return status;
}

static weir_status make_layers(const maker *maker) {
  gemma_weights *weights = maker->weights;
  bool done[GEMMA_PLANS_MOST] = {false};
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < weights->source->config.layers; i++)
    for (int role = 0; role < GEMMA_ROLES && !status; role++) {
      const gemma_matrix *matrix = &weights->layer[i].matrix[role];
      char *packed;
      if (!matrix->plan || done[matrix->plan - weights->plan]) continue;
      status = make_matrix(maker, matrix, &packed);
      if (status || weights->source->gguf) continue;
      done[matrix->plan - weights->plan] = true;
      status = copy_matrices(maker, matrix->plan, matrix, packed);
    }
  return status;
}

static uint64_t host_bytes(const gemma_weights *weights) {
  uint64_t most = weights->table_codes->bytes + weights->table_scales->bytes;
  if (weights->table_zeros) most += weights->table_zeros->bytes;
  for (uint32_t i = 0; i < weights->blobs; i++)
    if (weights->blob[i].bytes > most) most = weights->blob[i].bytes;
  return most;
}

weir_status gemma_weights_make(gemma_weights *weights, gemma_blob_fn save, void *user) {
  maker maker = {.weights = weights, .save = save, .user = user};
  weir_device_info info = {.struct_size = sizeof info};
  weir_status status = weir->device_get(weights->device, &info);
  void *host = NULL;
  char *unused;

  if (status) return status;
  maker.in_place = info.kind == WEIR_DEVICE_CPU;
  if (!maker.in_place && posix_memalign(&host, HOST_ALIGNMENT, host_bytes(weights)))
    return gemma_fail(WEIR_E_NOMEM, "no memory for the largest matrix, of %llu bytes",
                      (unsigned long long)host_bytes(weights));
  maker.host = host;
  status = make_table(&maker);
  if (!status) status = make_layers(&maker);
  if (!status) status = make_matrix(&maker, &weights->head, &unused);
  free(host);
  return status;
}
