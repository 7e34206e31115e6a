/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "number.h"
#include "session_layout.h"

static weir_status open_device(gemma_session *session) {
  const char *name = session->options.device;
  weir_status status = weir->open(NULL, &session->runtime);
  if (status) return status;
  status = weir->device_open(session->runtime, name ? name : "cuda:0", &session->device);
  if (status == WEIR_E_NODEVICE && !name) status = weir->device_open(session->runtime, "cpu", &session->device);
  if (status) return status;
  session->info = (weir_device_info){.struct_size = sizeof session->info};
  status = weir->device_get(session->device, &session->info);
  if (!status && session->info.kind == WEIR_DEVICE_CUDA) status = weir->stream_create(session->device, &session->stream);
  return status;
}

static weir_status load_weights(gemma_session *session) {
  gemma_weights *weights = &session->weights;
  const char *directory = session->options.cache;
  weir_status status;
  if (session->cache) {
    status = gemma_cache_upload(session->cache, weights);
  } else if (directory) {
    gemma_cache_writer *writer;
    status = gemma_cache_create(directory, session->cache_model, weights, &writer);
    if (!status) status = gemma_weights_make(weights, gemma_cache_save, writer);
    status = gemma_cache_finish(writer, status);
  } else {
    status = gemma_weights_make(weights, NULL, NULL);
  }
  return status ? status : gemma_weights_finish(weights);
}

static weir_status check_options(const gemma_source *source, const gemma_options *options) {
  if (options->context > source->config.context)
    return gemma_fail(WEIR_E_INVALID, "a context of %u tokens is asked for, and the model was trained for %u",
                      options->context, source->config.context);
  if (!options->context || !options->chunk || !options->head_rows)
    return gemma_fail(WEIR_E_INVALID, "context, chunk and rows of logits must be at least 1");
  return WEIR_OK;
}

weir_status gemma_session_open(const gemma_source *source, const gemma_options *options, gemma_session **out_session) {
  gemma_session *session;
  weir_status status = check_options(source, options);

  *out_session = NULL;
  if (status) return status;
  session = calloc(1, sizeof *session);
  if (!session) return gemma_fail(WEIR_E_NOMEM, "no memory for a session");
  session->source = *source;
  session->options = *options;
  if (options->chunk > options->context) session->options.chunk = options->context;
  status = open_device(session);
  if (!status)
    status = gemma_ops_open(session->device, session->options.chunk, source->config.vocabulary, &session->ops);
  if (!status)
    status = gemma_weights_plan(session->device, &session->source, session->ops->x_type, session->options.chunk,
                                options->head_rows, &session->weights);
  if (!status) status = gemma_session_plan(session);
  if (!status && options->cache)
    status = gemma_cache_open(options->cache, &session->source, &session->weights,
                              session->info.kind == WEIR_DEVICE_CPU, &session->cache_model, &session->cache);
  if (!status) status = gemma_session_allocate(session);
  if (!status) status = load_weights(session);
  if (!status) status = gemma_session_prepare(session);
  if (!status) status = gemma_rewind(session);
  if (status) {
    gemma_session_close(session);
    return status;
  }
  *out_session = session;
  return WEIR_OK;
}

void gemma_session_close(gemma_session *session) {
  if (!session) return;
  weir->graph_destroy(session->graph);
  gemma_session_release(session);
  gemma_weights_close(&session->weights);
  gemma_arena_close(&session->arena);
  gemma_cache_close(session->cache);
  if (session->ops) session->ops->close(session->ops);
  if (session->stream) weir->stream_destroy(session->device, session->stream);
  if (session->device) weir->device_close(session->device);
  if (session->runtime) weir->close(session->runtime);
  free(session);
}

/* ---- Running ------------------------------------------------------------- */

static weir_status set_position(gemma_session *session, uint32_t position) {
  gemma_state state = {.position = (int32_t)position};
  session->position = position;
  return weir->memory_upload(session->device, session->buffer.state, &state, sizeof state, session->stream);
}

weir_status gemma_rewind(gemma_session *session) { return set_position(session, 0); }

uint32_t gemma_ring_before(const gemma_session *session, const gemma_geometry *geometry) {
  uint32_t most = geometry->slots - 1;
  return session->position < most ? session->position : most;
}

static weir_status read_token(gemma_session *session, int32_t *out_token) {
  return weir->memory_download(session->device, out_token, session->buffer.tokens + session->position, sizeof *out_token,
                               session->stream);
}

static weir_status check_room(const gemma_session *session, uint32_t count) {
  uint32_t room = session->options.context - session->position;
  if (count <= room) return WEIR_OK;
  return gemma_fail(WEIR_E_INVALID, "%u tokens were given, and the context of %u has room for %u; give a larger --context",
                    count, session->options.context, room);
}

static weir_status check_tokens(const gemma_session *session, const int32_t *tokens, uint32_t count) {
  uint32_t vocabulary = session->source.config.vocabulary;
  for (uint32_t i = 0; i < count; i++)
    if (tokens[i] < 0 || (uint32_t)tokens[i] >= vocabulary)
      return gemma_fail(WEIR_E_INVALID, "token %u is %d; the vocabulary of the model has tokens 0 to %u", i + 1,
                        tokens[i], vocabulary - 1);
  return check_room(session, count);
}

static weir_status upload_tokens(gemma_session *session, const int32_t *tokens, uint32_t count) {
  return weir->memory_upload(session->device, session->buffer.tokens + session->position, tokens,
                             count * sizeof *tokens, session->stream);
}

/* A step of the prompt. Only the last one chooses a token. */
static weir_status prefill_step(gemma_session *session, uint32_t rows, bool is_last) {
  const gemma_step step = {.rows = rows, .x_rows = 1};
  weir_status status = gemma_profile_begin(session->profile, GEMMA_PREFILL);
  if (!status) status = gemma_step_layers(session, &step);
  if (!status && is_last) status = gemma_step_head(session, session->buffer.x, 1, true);
  if (!status && is_last) status = gemma_step_sample(session, rows);
  if (!status) status = gemma_profile_end(session->profile);
  if (status) return status;
  if (!is_last) return set_position(session, session->position + rows);
  session->position += rows;
  return WEIR_OK;
}

weir_status gemma_prefill(gemma_session *session, const int32_t *tokens, uint32_t count, int32_t *out_next) {
  weir_status status = check_tokens(session, tokens, count);
  *out_next = -1;
  if (!status && !count) status = gemma_fail(WEIR_E_INVALID, "the prompt has no token; give at least one");
  if (!status) status = upload_tokens(session, tokens, count);
  for (uint32_t done = 0; done < count && !status;) {
    uint32_t rows = count - done < session->options.chunk ? count - done : session->options.chunk;
    done += rows;
    status = prefill_step(session, rows, done == count);
  }
  return status ? status : read_token(session, out_next);
}

static weir_status enqueue_decode(gemma_session *session) {
  const gemma_step step = {.rows = 1, .x_rows = 1, .one = true};
  weir_status status = gemma_step_layers(session, &step);
  if (!status) status = gemma_step_head(session, session->buffer.x, 1, true);
  return status ? status : gemma_step_sample(session, 1);
}

static weir_status capture_decode(gemma_session *session) {
  weir_status status = weir->capture_begin(session->device, session->stream);
  if (status) return status;
  weir_status enqueued = enqueue_decode(session);
  status = weir->capture_end(session->device, session->stream, &session->graph);
  return enqueued ? enqueued : status;
}

/* Plugins say of each plan whether its calls may be captured. */
static bool may_capture(const gemma_session *session) {
  uint32_t properties = session->stream ? WEIR_GRAPH_SAFE : 0;
  for (uint32_t i = 0; i < session->weights.plans; i++) properties &= session->weights.plan[i].one.info.properties;
  for (uint32_t i = 0; i < session->source.config.layers; i++)
    properties &= session->layer[i].geometry->one.info.properties;
  return properties & WEIR_GRAPH_SAFE;
}

weir_status gemma_decode(gemma_session *session, int32_t *out_next) {
  weir_status status = check_room(session, 1);
  *out_next = -1;
  if (status) return status;
  if (session->profile || (!session->graph && !may_capture(session))) {
    status = gemma_profile_begin(session->profile, GEMMA_DECODE);
    if (!status) status = enqueue_decode(session);
    if (!status) status = gemma_profile_end(session->profile);
  } else {
    if (!session->graph) status = capture_decode(session);
    if (!status) status = weir->graph_launch(session->graph, session->stream);
  }
  if (status) return status;
  session->position++;
  return read_token(session, out_next);
}

weir_status gemma_logits(gemma_session *session, float *out_logits) {
  return weir->memory_download(session->device, out_logits, session->buffer.logits,
                               session->source.config.vocabulary * sizeof *out_logits, session->stream);
}

/* ---- Scoring ------------------------------------------------------------- */

static weir_status score_step(gemma_session *session, uint32_t first, uint32_t rows, float *host, gemma_logits_fn take,
                              void *user) {
  const gemma_step step = {.rows = rows, .x_rows = rows};
  const uint64_t vocabulary = session->source.config.vocabulary;
  const uint64_t x_row = session->source.config.embedding * number_size(session->ops->x_type);
  weir_status status = gemma_profile_begin(session->profile, GEMMA_PREFILL);
  if (!status) status = gemma_step_layers(session, &step);
  for (uint32_t done = 0; done < rows && !status;) {
    uint32_t count = rows - done < session->options.head_rows ? rows - done : session->options.head_rows;
    status = gemma_step_head(session, (const char *)session->buffer.x + done * x_row, count, false);
    if (!status)
      status = weir->memory_download(session->device, host, session->buffer.logits, count * vocabulary * sizeof *host,
                                     session->stream);
    for (uint32_t i = 0; i < count && !status; i++) status = take(user, first + done + i, host + i * vocabulary);
    done += count;
  }
  if (!status) status = gemma_profile_end(session->profile);
  return status ? status : set_position(session, session->position + rows);
}

weir_status gemma_score(gemma_session *session, const int32_t *tokens, uint32_t count, gemma_logits_fn take, void *user) {
  uint64_t logits = (uint64_t)session->options.head_rows * session->source.config.vocabulary;
  weir_status status = check_tokens(session, tokens, count);
  float *host = malloc(logits * sizeof *host);
  if (!host) status = gemma_fail(WEIR_E_NOMEM, "no memory for %llu logits", (unsigned long long)logits);
  if (!status && count) status = upload_tokens(session, tokens, count);
  for (uint32_t done = 0; done < count && !status;) {
    uint32_t rows = count - done < session->options.chunk ? count - done : session->options.chunk;
    status = score_step(session, done, rows, host, take, user);
    done += rows;
  }
  free(host);
  return status;
}
