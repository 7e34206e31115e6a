/* SPDX-License-Identifier: MIT */
#include "weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Plans --------------------------------------------------------------- */

static weir_status plan_way(weir_device *device, const weir_matvec_desc *desc, gemma_way *out_way) {
  *out_way = (gemma_way){.info = {.struct_size = sizeof out_way->info}};
  weir_status status = weir->plan_matvec(device, desc, &out_way->plan);
  if (!status) status = weir->matvec_get(out_way->plan, &out_way->info);
  for (uint32_t m = 1; m <= desc->m_max && !status; m++) { /* fewer rows may need more */
    uint64_t size = weir->workspace_size(out_way->plan, m);
    if (size > out_way->workspace_size) out_way->workspace_size = size;
  }
  return status;
}

/* A packed layout has to do with weights, so m_max does not change it; where it does, the sizes or tags differ. */
static bool same_layout(const gemma_way *a, const gemma_way *b) {
  return strcmp(weir->plan_plugin(a->plan), weir->plan_plugin(b->plan)) == 0 &&
         a->info.packed_tag == b->info.packed_tag && a->info.packed_size == b->info.packed_size;
}

/* Kernels for one row may be faster when the plan says that there are never more. */
static weir_status plan_both(weir_device *device, gemma_plan *plan) {
  weir_matvec_desc one = plan->desc;
  weir_status status = plan_way(device, &plan->desc, &plan->many);
  one.m_max = 1;
  if (status || plan->desc.m_max == 1) {
    plan->one = plan->many;
    return status;
  }
  status = plan_way(device, &one, &plan->one);
  if (status || same_layout(&plan->one, &plan->many)) return status;
  weir->plan_free(plan->one.plan);
  plan->one = plan->many;
  return WEIR_OK;
}

static weir_status find_plan(gemma_weights *weights, const weir_matvec_desc *desc, const gemma_plan **out_plan) {
  for (uint32_t i = 0; i < weights->plans; i++)
    if (memcmp(&weights->plan[i].desc, desc, sizeof *desc) == 0) {
      *out_plan = &weights->plan[i];
      return WEIR_OK;
    }
  if (weights->plans == GEMMA_PLANS_MOST)
    return gemma_fail(WEIR_E_UNSUPPORTED, "the model has matrices of more than %d shapes and types", GEMMA_PLANS_MOST);
  gemma_plan *plan = &weights->plan[weights->plans++];
  plan->desc = *desc;
  *out_plan = plan;
  return plan_both(weights->device, plan);
}

/* ---- Blobs --------------------------------------------------------------- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
  return hash;
}

static uint64_t blob_key(const weir_matvec_desc *desc, const char *plugin, uint64_t tag) {
  const uint32_t shape[] = {desc->op, desc->n, desc->k, desc->group, desc->form, desc->scale_type, desc->zero_type,
                            desc->act, desc->x_type, desc->y_type};
  uint64_t hash = hash_bytes(UINT64_C(0xcbf29ce484222325), shape, sizeof shape);
  hash = hash_bytes(hash, plugin, strlen(plugin));
  return hash_bytes(hash, &tag, sizeof tag);
}

static gemma_blob *add_blob(gemma_weights *weights, const char *name, const char *part, uint64_t key, uint64_t bytes) {
  gemma_blob *blob = &weights->blob[weights->blobs++];
  *blob = (gemma_blob){.key = key, .bytes = bytes};
  snprintf(blob->name, sizeof blob->name, "%s%s", name, part);
  return blob;
}

/* Of a matrix that has all its parts. */
static weir_status plan_matrix(gemma_weights *weights, const weir_matvec_desc *desc, gemma_matrix *matrix) {
  weir_status status = find_plan(weights, desc, &matrix->plan);
  if (status) return status;
  const gemma_way *way = &matrix->plan->many;
  uint64_t key = blob_key(desc, weir->plan_plugin(way->plan), way->info.packed_tag);
  matrix->blob = add_blob(weights, matrix->part[0].tensor, "", key, way->info.packed_size);
  return WEIR_OK;
}

static void add_part(gemma_matrix *matrix, const char *name, const char *tensor, uint32_t n) {
  size_t used = strlen(matrix->name);
  snprintf(matrix->name + used, sizeof matrix->name - used, "%s%s", used ? ", " : "", name);
  matrix->part[matrix->parts++] = (gemma_part){tensor, n};
}

/* Whether they differ in nothing but how many rows there are. */
static bool same_rows(const weir_matvec_desc *a, const weir_matvec_desc *b) {
  weir_matvec_desc other = *b;
  other.n = a->n;
  return memcmp(a, &other, sizeof other) == 0;
}

static weir_status describe_layer(gemma_weights *weights, uint32_t layer, const weir_matvec_desc *basis) {
  gemma_matrix *matrix = weights->layer[layer].matrix;
  weir_matvec_desc desc[GEMMA_ROLES];
  weir_status status = WEIR_OK;
  for (int role = 0, first = 0; role < GEMMA_ROLES && !status; role++) {
    char *tensor = weights->names + ((size_t)layer * GEMMA_ROLES + (size_t)role) * GEMMA_NAME_SIZE;
    uint32_t n, k;
    gemma_role_shape(&weights->source->config, layer, (gemma_role)role, &n, &k);
    gemma_role_tensor(layer, (gemma_role)role, tensor);
    if (!n) continue;
    desc[role] = *basis;
    status = gemma_source_describe(weights->source, tensor, n, k, 0, &desc[role]);
    if (!status && gemma_role_shares_x((gemma_role)role) && same_rows(&desc[first], &desc[role])) desc[first].n += n;
    else first = role;
    add_part(&matrix[first], gemma_role_name((gemma_role)role), tensor, n);
  }
  for (int role = 0; role < GEMMA_ROLES && !status; role++)
    if (matrix[role].parts) status = plan_matrix(weights, &desc[role], &matrix[role]);
  return status;
}

static weir_status describe_head(gemma_weights *weights, const weir_matvec_desc *basis) {
  const gemma_config *config = &weights->source->config;
  const char *tensor = gemma_source_head(weights->source);
  weir_matvec_desc desc = *basis;
  weir_status status = gemma_source_describe(weights->source, tensor, config->vocabulary, config->embedding, 0, &desc);
  add_part(&weights->head, "head", tensor, config->vocabulary);
  return status ? status : plan_matrix(weights, &desc, &weights->head);
}

static weir_status describe_table(gemma_weights *weights) {
  const gemma_config *config = &weights->source->config;
  weir_matvec_desc *desc = &weights->table.desc;
  *desc = (weir_matvec_desc){.struct_size = sizeof *desc, .m_max = 1};
  weir_status status = gemma_source_describe(weights->source, GEMMA_EMBEDDING_TENSOR, config->vocabulary,
                                             config->embedding, WEIR_OP_INT8_MATVEC, desc);
  if (status) return status;
  uint64_t key = blob_key(desc, "", 0), n = desc->n;
  weights->table_codes = add_blob(weights, GEMMA_EMBEDDING_TENSOR, ":codes", key, n * gemma_code_bytes(desc));
  weights->table_scales = add_blob(weights, GEMMA_EMBEDDING_TENSOR, ":scales", key, n * gemma_scale_bytes(desc));
  if (desc->zero_type)
    weights->table_zeros = add_blob(weights, GEMMA_EMBEDDING_TENSOR, ":zeros", key, n * gemma_zero_bytes(desc));
  return WEIR_OK;
}

weir_status gemma_weights_plan(weir_device *device, const gemma_source *source, weir_type x_type, uint32_t rows_most,
                               uint32_t head_rows, gemma_weights *out_weights) {
  gemma_weights *weights = out_weights;
  const gemma_config *config = &source->config;
  const uint32_t matrices = config->layers * GEMMA_ROLES;
  weir_matvec_desc basis = {.struct_size = sizeof basis,
                            .m_max = rows_most,
                            .act = WEIR_ACT_INT8,
                            .x_type = x_type,
                            .y_type = WEIR_F32};
  weir_status status;

  *weights = (gemma_weights){.device = device, .source = source};
  weights->layer = calloc(config->layers, sizeof *weights->layer);
  weights->names = calloc(matrices, GEMMA_NAME_SIZE);
  weights->blob = calloc(matrices + 4, sizeof *weights->blob);
  if (!weights->layer || !weights->names || !weights->blob)
    return gemma_fail(WEIR_E_NOMEM, "no memory for the descriptions of %u matrices", matrices);
  status = describe_table(weights);
  for (uint32_t i = 0; i < config->layers && !status; i++) status = describe_layer(weights, i, &basis);
  basis.m_max = head_rows;
  return status ? status : describe_head(weights, &basis);
}

/* ---- Memory -------------------------------------------------------------- */

void gemma_weights_layout(gemma_weights *weights, gemma_arena *arena, bool with_blobs) {
  const gemma_config *config = &weights->source->config;
  for (uint32_t i = 0; i < weights->blobs && with_blobs; i++)
    weights->blob[i].memory = gemma_take(arena, weights->blob[i].bytes);
  for (uint32_t i = 0; i < weights->plans; i++) {
    gemma_plan *plan = &weights->plan[i];
    plan->many.workspace = gemma_take(arena, plan->many.workspace_size);
    plan->one.workspace = plan->one.plan == plan->many.plan ? plan->many.workspace
                                                            : gemma_take(arena, plan->one.workspace_size);
  }
  for (uint32_t i = 0; i < config->layers; i++)
    for (int norm = 0; norm < GEMMA_NORMS; norm++)
      weights->layer[i].norm[norm] =
        gemma_take(arena, gemma_norm_size(config, i, (gemma_norm)norm) * (uint64_t)sizeof(float));
  weights->output_norm = gemma_take(arena, config->embedding * (uint64_t)sizeof(float));
}

/* ---- Other parts --------------------------------------------------------- */

static weir_status upload_vector(gemma_weights *weights, const char *name, uint32_t size, float *host, float *out) {
  weir_status status = gemma_source_vector(weights->source, name, size, host);
  return status ? status : weir->memory_upload(weights->device, out, host, size * sizeof *host, NULL);
}

weir_status gemma_weights_finish(gemma_weights *weights) {
  const gemma_config *config = &weights->source->config;
  float *host = malloc(config->embedding * sizeof *host + 512 * sizeof *host);
  weir_status status = host ? WEIR_OK : gemma_fail(WEIR_E_NOMEM, "no memory for a vector");

  for (uint32_t i = 0; i < config->layers && !status; i++)
    for (int norm = 0; norm < GEMMA_NORMS && !status; norm++) {
      char name[GEMMA_NAME_SIZE];
      uint32_t size = gemma_norm_size(config, i, (gemma_norm)norm);
      gemma_norm_tensor(i, (gemma_norm)norm, name);
      if (size) status = upload_vector(weights, name, size, host, weights->layer[i].norm[norm]);
    }
  if (!status)
    status = upload_vector(weights, GEMMA_OUTPUT_NORM_TENSOR, config->embedding, host, weights->output_norm);
  for (uint32_t i = 0; i < weights->plans && !status; i++) {
    const gemma_way *many = &weights->plan[i].many, *one = &weights->plan[i].one;
    status = gemma_clear(weights->device, many->workspace, many->workspace_size);
    if (!status) status = gemma_clear(weights->device, one->workspace, one->workspace_size);
  }
  weights->table.codes = weights->table_codes->memory;
  weights->table.scales = weights->table_scales->memory;
  weights->table.zeros = weights->table_zeros ? weights->table_zeros->memory : NULL;
  free(host);
  return status ? status : weir->synchronize(weights->device, NULL);
}

uint64_t gemma_weights_read(const gemma_weights *weights) {
  const weir_matvec_desc *desc = &weights->table.desc;
  uint64_t bytes = gemma_code_bytes(desc) + gemma_scale_bytes(desc) + gemma_zero_bytes(desc);
  for (uint32_t i = 0; i < weights->source->config.layers; i++)
    for (int role = 0; role < GEMMA_ROLES; role++) {
      const gemma_plan *plan = weights->layer[i].matrix[role].plan;
      if (plan) bytes += plan->one.info.weight_bytes;
    }
  return bytes + weights->head.plan->one.info.weight_bytes;
}

void gemma_weights_close(gemma_weights *weights) {
  for (uint32_t i = 0; i < weights->plans; i++) {
    gemma_plan *plan = &weights->plan[i];
    if (plan->one.plan != plan->many.plan) weir->plan_free(plan->one.plan);
    weir->plan_free(plan->many.plan);
  }
  free(weights->layer);
  free(weights->names);
  free(weights->blob);
  *weights = (gemma_weights){0};
}
