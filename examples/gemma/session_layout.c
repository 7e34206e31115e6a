/* SPDX-License-Identifier: MIT */
#include "session_layout.h"

#include <math.h>
#include <stdlib.h>

#include "number.h"

static const double gigabyte = 1e9;

/* ---- Attentions ---------------------------------------------------------- */

static weir_status plan_attention(gemma_session *session, const weir_sdpa_desc *desc, gemma_attention *out) {
  *out = (gemma_attention){.desc = *desc, .info = {.struct_size = sizeof out->info}};
  weir_status status = weir->plan_sdpa(session->device, desc, &out->plan);
  if (!status) status = weir->sdpa_get(out->plan, &out->info);
  for (uint32_t rows = 1; rows <= desc->q_len_max && !status; rows++) {
    uint64_t size = weir->workspace_size(out->plan, rows);
    if (size > out->workspace_size) out->workspace_size = size;
  }
  return status;
}

static weir_status plan_geometry(gemma_session *session, gemma_geometry *geometry) {
  const gemma_config *config = &session->source.config;
  const gemma_layer *layer = &geometry->layer;
  weir_sdpa_desc desc = {.struct_size = sizeof desc,
                         .op = WEIR_OP_SDPA,
                         .flags = WEIR_SDPA_KV_LEN,
                         .batch = 1,
                         .q_heads = config->q_heads,
                         .kv_heads = layer->kv_heads,
                         .head_dim = layer->head_dim,
                         .q_len_max = 1,
                         .kv_capacity = geometry->slots,
                         .q_type = WEIR_BF16,
                         .kv_type = WEIR_BF16,
                         .o_type = session->ops->x_type,
                         .scale = config->attention_scale};
  weir_status status = plan_attention(session, &desc, &geometry->one);
  if (status) return status;
  desc.q_len_max = session->options.chunk;
  desc.flags |= WEIR_SDPA_CAUSAL;
  if (layer->is_sliding) { /* in the linear buffer, of a length that the host knows */
    desc.flags = WEIR_SDPA_CAUSAL;
    desc.kv_capacity = config->window + session->options.chunk;
    desc.window = config->window;
  }
  return plan_attention(session, &desc, &geometry->many);
}

static bool same_geometry(const gemma_layer *a, const gemma_layer *b) {
  return a->is_sliding == b->is_sliding && a->v_is_k == b->v_is_k && a->kv_heads == b->kv_heads &&
         a->head_dim == b->head_dim && a->rope_base == b->rope_base && a->rope_pairs == b->rope_pairs &&
         a->rope_scale == b->rope_scale;
}

static weir_status find_geometry(gemma_session *session, const gemma_layer *layer, gemma_geometry **out_geometry) {
  for (uint32_t i = 0; i < session->geometries; i++) {
    *out_geometry = &session->geometry[i];
    if (same_geometry(&session->geometry[i].layer, layer)) return WEIR_OK;
  }
  if (session->geometries == GEMMA_GEOMETRIES_MOST)
    return gemma_fail(WEIR_E_UNSUPPORTED, "the model has attentions of more than %d kinds", GEMMA_GEOMETRIES_MOST);
  gemma_geometry *geometry = *out_geometry = &session->geometry[session->geometries++];
  geometry->layer = *layer;
  geometry->slots = layer->is_sliding ? session->source.config.window : session->options.context;
  return plan_geometry(session, geometry);
}

weir_status gemma_session_plan(gemma_session *session) {
  const gemma_config *config = &session->source.config;
  weir_status status = WEIR_OK;
  session->layer = calloc(config->layers, sizeof *session->layer);
  if (!session->layer) return gemma_fail(WEIR_E_NOMEM, "no memory for %u layers", config->layers);
  for (uint32_t i = 0; i < config->layers && !status; i++)
    status = find_geometry(session, &config->layer[i], &session->layer[i].geometry);
  return status;
}

void gemma_session_release(gemma_session *session) {
  for (uint32_t i = 0; i < session->geometries; i++) {
    weir->plan_free(session->geometry[i].one.plan);
    weir->plan_free(session->geometry[i].many.plan);
  }
  free(session->layer);
}

/* ---- Memory -------------------------------------------------------------- */

static uint64_t kv_bytes(const gemma_layer *layer, uint64_t slots) {
  return slots * layer->kv_heads * layer->head_dim * number_size(WEIR_BF16);
}

static void lay_out_caches(gemma_session *session, gemma_arena *arena) {
  for (uint32_t i = 0; i < session->source.config.layers; i++) {
    gemma_cache_slots *layer = &session->layer[i];
    uint64_t bytes = kv_bytes(&layer->geometry->layer, layer->geometry->slots);
    layer->k = gemma_take(arena, bytes);
    layer->v = gemma_take(arena, bytes);
  }
}

/* The most of anything that a geometry needs. */
typedef struct extents {
  uint64_t q, qkv, linear;
} extents;

static extents measure(const gemma_session *session) {
  extents most = {0, 0, 0};
  for (uint32_t i = 0; i < session->geometries; i++) {
    const gemma_layer *layer = &session->geometry[i].layer;
    uint64_t q = (uint64_t)session->source.config.q_heads * layer->head_dim;
    uint64_t kv = (uint64_t)layer->kv_heads * layer->head_dim;
    uint64_t linear = layer->is_sliding ? kv_bytes(layer, session->geometry[i].many.desc.kv_capacity) : 0;
    most.q = q > most.q ? q : most.q;
    most.qkv = q + 2 * kv > most.qkv ? q + 2 * kv : most.qkv;
    most.linear = linear > most.linear ? linear : most.linear;
  }
  return most;
}

static uint64_t act_size(const gemma_weights *weights) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < weights->plans; i++) {
    const gemma_plan *plan = &weights->plan[i];
    uint64_t many = weir->act_size(plan->many.plan, plan->desc.m_max), one = weir->act_size(plan->one.plan, 1);
    most = many > most ? many : most;
    most = one > most ? one : most;
  }
  return most;
}

static void lay_out_buffers(gemma_session *session, gemma_arena *arena) {
  const gemma_config *config = &session->source.config;
  const extents most = measure(session);
  const uint64_t rows = session->options.chunk, e = config->embedding, f = config->feed_forward;
  const uint64_t x = number_size(session->ops->x_type), f32 = sizeof(float), bf16 = number_size(WEIR_BF16);
  gemma_buffers *buffer = &session->buffer;
  buffer->act_size = act_size(&session->weights);
  buffer->state = gemma_take(arena, sizeof *buffer->state);
  buffer->tokens = gemma_take(arena, (session->options.context + 1) * (uint64_t)sizeof *buffer->tokens);
  buffer->h = gemma_take(arena, rows * e * f32);
  buffer->y = gemma_take(arena, rows * e * f32);
  buffer->x = gemma_take(arena, rows * e * x);
  buffer->qkv = gemma_take(arena, rows * most.qkv * f32);
  buffer->q_rotated = gemma_take(arena, rows * most.q * bf16);
  buffer->attended = gemma_take(arena, rows * most.q * x);
  buffer->gate_up = gemma_take(arena, rows * 2 * f * f32);
  buffer->gated = gemma_take(arena, rows * f * x);
  buffer->linear_k = gemma_take(arena, most.linear);
  buffer->linear_v = gemma_take(arena, most.linear);
  for (int i = 0; i < GEMMA_ACTS; i++) buffer->act[i] = gemma_take(arena, buffer->act_size);
  buffer->logits = gemma_take(arena, session->options.head_rows * (uint64_t)config->vocabulary * f32);
  for (uint32_t i = 0; i < session->geometries; i++) {
    gemma_geometry *geometry = &session->geometry[i];
    geometry->frequencies = gemma_take(arena, geometry->layer.head_dim / 2 * f32);
    geometry->one.workspace = gemma_take(arena, geometry->one.workspace_size);
    geometry->many.workspace = gemma_take(arena, geometry->many.workspace_size);
  }
}

typedef struct needs {
  uint64_t weights, caches, all;
} needs;

static needs lay_out(gemma_session *session) {
  gemma_arena *arena = &session->arena;
  needs sum;
  gemma_weights_layout(&session->weights, arena, !gemma_cache_in_place(session->cache));
  sum.weights = arena->used;
  lay_out_caches(session, arena);
  sum.caches = arena->used - sum.weights;
  lay_out_buffers(session, arena);
  sum.all = arena->used;
  return sum;
}

static weir_status fail_memory(const gemma_session *session, const needs *need, const char *found) {
  return gemma_fail(WEIR_E_NOMEM, "the model needs %.2f GB of memory on %s (%.2f GB of weights, %.2f GB of K and V for %u "
                    "tokens, %.2f GB of buffers), and %s; give a smaller model, --context or --chunk",
                    (double)need->all / gigabyte, session->info.name, (double)need->weights / gigabyte,
                    (double)need->caches / gigabyte, session->options.context,
                    (double)(need->all - need->weights - need->caches) / gigabyte, found);
}

weir_status gemma_session_allocate(gemma_session *session) {
  char found[512];
  session->arena = (gemma_arena){.device = session->device};
  needs need = lay_out(session);
  if (need.all > session->info.memory_bytes) {
    snprintf(found, sizeof found, "it has %.2f GB", (double)session->info.memory_bytes / gigabyte);
    return fail_memory(session, &need, found);
  }
  weir_status status = gemma_arena_open(&session->arena);
  if (status == WEIR_E_NOMEM) {
    snprintf(found, sizeof found, "the device said: %s", weir->last_error());
    return fail_memory(session, &need, found);
  }
  if (!status) lay_out(session);
  return status;
}

/* ---- Contents ------------------------------------------------------------ */

static weir_status upload_frequencies(gemma_session *session, const gemma_geometry *geometry) {
  enum { PAIRS_MOST = 256 };
  const gemma_layer *layer = &geometry->layer;
  float host[PAIRS_MOST] = {0};
  for (uint32_t i = 0; i < layer->rope_pairs; i++)
    host[i] = (float)(pow(layer->rope_base, -2.0 * i / layer->head_dim) * layer->rope_scale);
  return weir->memory_upload(session->device, geometry->frequencies, host, layer->head_dim / 2 * sizeof *host, NULL);
}

weir_status gemma_session_prepare(gemma_session *session) {
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < session->geometries && !status; i++) {
    const gemma_attention *one = &session->geometry[i].one, *many = &session->geometry[i].many;
    status = upload_frequencies(session, &session->geometry[i]);
    if (!status) status = gemma_clear(session->device, one->workspace, one->workspace_size);
    if (!status) status = gemma_clear(session->device, many->workspace, many->workspace_size);
  }
  return status ? status : weir->synchronize(session->device, NULL);
}

uint64_t gemma_step_bytes(const gemma_session *session, uint32_t position) {
  uint64_t bytes = gemma_weights_read(&session->weights);
  for (uint32_t i = 0; i < session->source.config.layers; i++) {
    const gemma_geometry *geometry = session->layer[i].geometry;
    uint64_t attended = position + 1 < geometry->slots ? position + 1 : geometry->slots;
    bytes += 2 * kv_bytes(&geometry->layer, attended);
  }
  return bytes;
}
