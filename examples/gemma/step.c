/* SPDX-License-Identifier: MIT */
#include "session.h"

/* What is enqueued: the rows, and the layer that it is about. */
typedef struct moment {
  gemma_session *session;
  uint32_t rows, layer;
  bool one;
} moment;

static weir_status mark(const moment *at, const char *operation, const char *plugin) {
  return gemma_profile_mark(at->session->profile, operation, plugin);
}

/* ---- Matrices ------------------------------------------------------------ */

/* What a tensor gives, in the y of its matrix: rows of `stride` elements. */
typedef struct output {
  float *y;
  uint32_t stride;
} output;

static weir_status quantize(const moment *at, const gemma_way *way, const void *x, void *act) {
  weir_quantize_args args = {
    .struct_size = sizeof args, .m = at->rows, .x = x, .act = act, .act_size = at->session->buffer.act_size};
  weir_status status = weir->quantize(way->plan, &args, at->session->stream);
  return status ? status : mark(at, "quantize", weir->plan_plugin(way->plan));
}

static weir_status multiply(const moment *at, const gemma_way *way, const gemma_matrix *matrix, const void *act, float *y) {
  weir_matvec_args args = {.struct_size = sizeof args,
                           .m = at->rows,
                           .packed = matrix->blob->memory,
                           .act = act,
                           .y = y,
                           .workspace = way->workspace,
                           .workspace_size = way->workspace_size};
  weir_status status = weir->matvec(way->plan, &args, at->session->stream);
  return status ? status : mark(at, matrix->name, weir->plan_plugin(way->plan));
}

static weir_status linear(const moment *at, const gemma_way *way, const gemma_matrix *matrix, const void *x, float *y) {
  weir_linear_args args = {.struct_size = sizeof args,
                           .m = at->rows,
                           .packed = matrix->blob->memory,
                           .x = x,
                           .y = y,
                           .act = at->session->buffer.act[0],
                           .act_size = at->session->buffer.act_size,
                           .workspace = way->workspace,
                           .workspace_size = way->workspace_size};
  weir_status status = weir->linear(way->plan, &args, at->session->stream);
  return status ? status : mark(at, matrix->name, weir->plan_plugin(way->plan));
}

static bool is_only_one(const gemma_matrix *matrix, uint32_t roles) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < roles; i++) count += matrix[i].plan != NULL;
  return count == 1;
}

/* The matrices of `roles` tensors that have one x: matrix[i] is the one that begins with tensor i. Their y are one behind
 * the other. Plans that read each other's activations share them; x that one matrix reads is quantised with it. */
static weir_status multiply_all(const moment *at, const void *x, const gemma_matrix *matrix, uint32_t roles, float *y,
                                output *out_outputs) {
  uint64_t tag[GEMMA_ACTS];
  uint32_t acts = 0;
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < roles && !status; i++) {
    const gemma_plan *plan = matrix[i].plan;
    if (!plan) continue;
    const gemma_way *way = at->one ? &plan->one : &plan->many;
    if (is_only_one(matrix, roles)) {
      status = linear(at, way, &matrix[i], x, y);
    } else {
      uint32_t a = 0;
      while (a < acts && (!tag[a] || tag[a] != way->info.act_tag)) a++;
      if (a == acts) {
        tag[acts++] = way->info.act_tag;
        status = quantize(at, way, x, at->session->buffer.act[a]);
      }
      if (!status) status = multiply(at, way, &matrix[i], at->session->buffer.act[a], y);
    }
    for (uint32_t p = 0; p < matrix[i].parts; p++) {
      out_outputs[i + p] = (output){y, plan->desc.n};
      y += matrix[i].part[p].n;
    }
    y += (uint64_t)(at->rows - 1) * plan->desc.n;
  }
  return status;
}

static weir_status multiply_one(const moment *at, const void *x, const gemma_matrix *matrix, float *y) {
  output unused;
  return multiply_all(at, x, matrix, 1, y, &unused);
}

/* ---- Attention ----------------------------------------------------------- */

/* Where K and V of the new rows go, and what is attended. */
typedef struct place {
  void *k, *v;
  uint32_t slots, ring;
  int32_t first_slot;
  uint32_t kv_len; /* where the plan does not read it on the device */
} place;

static place place_of(const moment *at) {
  const gemma_session *session = at->session;
  const gemma_cache_slots *cache = &session->layer[at->layer];
  const gemma_geometry *geometry = cache->geometry;
  if (geometry->layer.is_sliding && !at->one) {
    uint32_t before = gemma_ring_before(session, geometry);
    return (place){.k = session->buffer.linear_k,
                   .v = session->buffer.linear_v,
                   .slots = geometry->many.desc.kv_capacity,
                   .first_slot = (int32_t)before,
                   .kv_len = before + at->rows};
  }
  return (place){.k = cache->k,
                 .v = cache->v,
                 .slots = geometry->slots,
                 .ring = geometry->layer.is_sliding ? geometry->slots : 0,
                 .first_slot = -1};
}

static weir_status append(const moment *at, const output *q, const output *k, const output *v, const place *to) {
  gemma_session *session = at->session;
  const gemma_config *config = &session->source.config;
  const gemma_geometry *geometry = session->layer[at->layer].geometry;
  const gemma_layer_weights *weights = &session->weights.layer[at->layer];
  const gemma_buffers *buffer = &session->buffer;
  gemma_rope_args args = {.layer = &geometry->layer,
                          .q_heads = config->q_heads,
                          .epsilon = config->norm_epsilon,
                          .has_v_norm = config->has_v_norm,
                          .q_norm = weights->norm[GEMMA_Q_NORM],
                          .k_norm = weights->norm[GEMMA_K_NORM],
                          .inverse_frequencies = geometry->frequencies,
                          .q = q->y,
                          .k = k->y,
                          .v = v->y,
                          .q_stride = q->stride,
                          .k_stride = k->stride,
                          .v_stride = v->stride,
                          .out_q = buffer->q_rotated,
                          .out_k = to->k,
                          .out_v = to->v,
                          .slots = to->slots,
                          .ring = to->ring,
                          .first_slot = to->first_slot};
  weir_status status = session->ops->rope_append(session->ops, at->rows, &args, buffer->state, session->stream);
  return status ? status : mark(at, "rope, append", "");
}

static weir_status attend(const moment *at, const place *to) {
  gemma_session *session = at->session;
  const gemma_geometry *geometry = session->layer[at->layer].geometry;
  const gemma_attention *attention = at->one ? &geometry->one : &geometry->many;
  const weir_sdpa_desc *desc = &attention->desc;
  const gemma_buffers *buffer = &session->buffer;
  const int64_t d = desc->head_dim, q_row = desc->q_heads * d, kv_head = to->slots * d;
  const int32_t *kv_len = geometry->layer.is_sliding ? &buffer->state->kv_len_ring : &buffer->state->kv_len_full;
  weir_sdpa_args args = {.struct_size = sizeof args,
                         .q_len = at->rows,
                         .kv_len = to->kv_len,
                         .q = buffer->q_rotated,
                         .k = to->k,
                         .v = to->v,
                         .o = buffer->attended,
                         .q_stride = {at->rows * q_row, d, q_row},
                         .k_stride = {desc->kv_heads * kv_head, kv_head, d},
                         .v_stride = {desc->kv_heads * kv_head, kv_head, d},
                         .o_stride = {at->rows * q_row, d, q_row},
                         .kv_len_device = desc->flags & WEIR_SDPA_KV_LEN ? kv_len : NULL,
                         .workspace = attention->workspace,
                         .workspace_size = attention->workspace_size};
  weir_status status = weir->sdpa(attention->plan, &args, session->stream);
  return status ? status : mark(at, geometry->layer.is_sliding ? "sdpa, sliding" : "sdpa, full",
                                weir->plan_plugin(attention->plan));
}

static weir_status unroll_ring(const moment *at, const place *to) {
  gemma_session *session = at->session;
  const gemma_cache_slots *cache = &session->layer[at->layer];
  if (to->first_slot < 1) return WEIR_OK;
  weir_status status = session->ops->ring_to_linear(session->ops, &cache->geometry->layer, cache->geometry->slots,
                                                    to->slots, (uint32_t)to->first_slot, cache->k, cache->v,
                                                    session->buffer.state, to->k, to->v, session->stream);
  return status ? status : mark(at, "ring to linear", "");
}

static weir_status fill_ring(const moment *at, const place *to) {
  gemma_session *session = at->session;
  const gemma_cache_slots *cache = &session->layer[at->layer];
  const uint32_t ring = cache->geometry->slots, count = at->rows < ring ? at->rows : ring;
  weir_status status =
    session->ops->linear_to_ring(session->ops, &cache->geometry->layer, ring, to->slots, to->kv_len - count, count,
                                 at->rows, to->k, to->v, session->buffer.state, cache->k, cache->v, session->stream);
  return status ? status : mark(at, "linear to ring", "");
}

static weir_status attention(const moment *at) {
  const gemma_layer_weights *weights = &at->session->weights.layer[at->layer];
  const gemma_buffers *buffer = &at->session->buffer;
  const bool v_is_k = at->session->source.config.layer[at->layer].v_is_k;
  const place to = place_of(at);
  const bool through_linear = to.k == buffer->linear_k;
  output qkv[3] = {{0}};
  weir_status status = multiply_all(at, buffer->x, &weights->matrix[GEMMA_Q], 3, buffer->qkv, qkv);
  if (!status && through_linear) status = unroll_ring(at, &to);
  if (!status) status = append(at, &qkv[0], &qkv[1], &qkv[v_is_k ? 1 : 2], &to);
  if (!status) status = attend(at, &to);
  if (!status && through_linear) status = fill_ring(at, &to);
  return status ? status : multiply_one(at, buffer->attended, &weights->matrix[GEMMA_O], buffer->y);
}

/* ---- The rest of a layer ------------------------------------------------- */

static weir_status add_norm(const moment *at, const float *post, const float *scale, const float *next, uint32_t x_rows) {
  gemma_session *session = at->session;
  const gemma_config *config = &session->source.config;
  weir_status status =
    session->ops->add_norm(session->ops, at->rows, x_rows, config->embedding, session->buffer.y, post, scale, next,
                           config->norm_epsilon, session->buffer.h, session->buffer.x, session->stream);
  return status ? status : mark(at, "add, norm", "");
}

static weir_status feed_forward(const moment *at) {
  gemma_session *session = at->session;
  const gemma_layer_weights *weights = &session->weights.layer[at->layer];
  const gemma_buffers *buffer = &session->buffer;
  output gate_up[2] = {{0}};
  weir_status status = multiply_all(at, buffer->x, &weights->matrix[GEMMA_GATE], 2, buffer->gate_up, gate_up);
  if (!status)
    status = session->ops->gelu_mul(session->ops, at->rows, session->source.config.feed_forward, gate_up[0].y, gate_up[1].y,
                                    gate_up[0].stride, buffer->gated, session->stream);
  if (!status) status = mark(at, "gelu, mul", "");
  return status ? status : multiply_one(at, buffer->gated, &weights->matrix[GEMMA_DOWN], buffer->y);
}

static weir_status embed(const moment *at) {
  gemma_session *session = at->session;
  const gemma_config *config = &session->source.config;
  const gemma_buffers *buffer = &session->buffer;
  weir_status status = session->ops->embed(session->ops, &session->weights.table, buffer->tokens, at->rows, config->window,
                                           session->weights.layer[0].norm[GEMMA_ATTENTION_NORM], config->norm_epsilon,
                                           buffer->state, buffer->h, buffer->x, session->stream);
  return status ? status : mark(at, "embed", "");
}

weir_status gemma_step_layers(gemma_session *session, const gemma_step *step) {
  const gemma_weights *weights = &session->weights;
  const uint32_t layers = session->source.config.layers;
  moment at = {.session = session, .rows = step->rows, .one = step->one};
  weir_status status = embed(&at);
  for (; at.layer < layers && !status; at.layer++) {
    float *const *norm = weights->layer[at.layer].norm;
    const bool is_last = at.layer + 1 == layers;
    const float *next = is_last ? weights->output_norm : weights->layer[at.layer + 1].norm[GEMMA_ATTENTION_NORM];
    status = attention(&at);
    if (!status) status = add_norm(&at, norm[GEMMA_POST_ATTENTION_NORM], NULL, norm[GEMMA_FFN_NORM], at.rows);
    if (!status) status = feed_forward(&at);
    if (!status)
      status = add_norm(&at, norm[GEMMA_POST_FFN_NORM], norm[GEMMA_LAYER_SCALE], next, is_last ? step->x_rows : at.rows);
  }
  return status;
}

weir_status gemma_step_head(gemma_session *session, const void *x, uint32_t rows, bool one) {
  moment at = {.session = session, .rows = rows, .one = one};
  return multiply_one(&at, x, &session->weights.head, session->buffer.logits);
}

weir_status gemma_step_sample(gemma_session *session, uint32_t rows) {
  const gemma_config *config = &session->source.config;
  moment at = {.session = session};
  weir_status status =
    session->ops->sample(session->ops, rows, config->vocabulary, config->final_softcap, &session->options.sampling,
                         session->buffer.logits, session->buffer.tokens, session->buffer.state, session->stream);
  return status ? status : mark(&at, "sample", "");
}
