/* SPDX-License-Identifier: MIT */
#include "bench_token.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conform_case.h"
#include "number.h"
#include "progress.h"

enum { SEED = 270 };

/* ---- Planning ----------------------------------------------------------- */

static weir_status token_alloc(token *token) {
  uint32_t steps = token->model->steps;
  token->step_index = calloc(steps, sizeof *token->step_index);
  token->step_line = calloc(steps, sizeof *token->step_line);
  token->step_attention = calloc(steps, sizeof *token->step_attention);
  token->attention = calloc(steps, sizeof *token->attention);
  token->truth = calloc(steps, sizeof *token->truth);
  if (!token->step_index || !token->step_line || !token->step_attention || !token->attention || !token->truth)
    return BENCH_NOMEM;
  for (uint32_t s = 0; s < token->bench->sides; s++) {
    token_side *side = &token->side[s];
    side->matvec = calloc(steps, sizeof *side->matvec);
    side->act = calloc(steps, sizeof *side->act);
    side->act_input = calloc(steps, sizeof *side->act_input);
    side->sdpa = calloc(steps, sizeof *side->sdpa);
    side->call = calloc(2 * (size_t)steps, sizeof *side->call);
    if (!side->matvec || !side->act || !side->act_input || !side->sdpa || !side->call) return BENCH_NOMEM;
  }
  return WEIR_OK;
}

/* The line that has these texts and plugins, or a new one; its count goes up. */
static weir_status find_line(token *token, const bench_line *wanted, uint32_t *out_line) {
  bench_report *report = token->report;
  bench_line *line;
  for (uint32_t i = 0; i < report->lines; i++) {
    line = &report->line[i];
    if (strcmp(line->operation, wanted->operation) == 0 && strcmp(line->weights, wanted->weights) == 0 &&
        strcmp(line->shape, wanted->shape) == 0 && strcmp(line->side[0].plugin, wanted->side[0].plugin) == 0 &&
        strcmp(line->side[1].plugin, wanted->side[1].plugin) == 0) {
      line->count++;
      *out_line = i;
      return WEIR_OK;
    }
  }
  *out_line = report->lines;
  line = bench_report_line(report);
  if (!line) return BENCH_NOMEM;
  *line = *wanted;
  line->count = 1;
  return WEIR_OK;
}

static weir_status plan_matrix(token *token, uint32_t index) {
  const model_step *step = &token->model->step[index];
  const bench_options *options = token->bench->options;
  weir_matvec_desc desc = {.struct_size = sizeof desc,
                           .m_max = 1,
                           .act = WEIR_ACT_INT8,
                           .x_type = options->x_type,
                           .y_type = options->y_type};
  bench_line line = {.count = 0};
  const char *op;
  weir_status status = weir_import_describe(&step->tensor, options->only_op, &desc);

  if (status) return status;
  op = desc.op == WEIR_OP_INT4_MATVEC ? "int4" : "int8";
  snprintf(line.operation, sizeof line.operation, "%s", step->name);
  snprintf(line.weights, sizeof line.weights, "%.12s %s g%u", step->tensor.type_name, op, desc.group);
  snprintf(line.shape, sizeof line.shape, "%ux%u", desc.n, desc.k);
  token->step_index[index] = token->matrices;
  for (uint32_t s = 0; s < token->bench->sides; s++) {
    bench_matvec *matvec = &token->side[s].matvec[token->matrices];
    bench_result *result = &line.side[s];
    status = bench_matvec_plan(token->bench, &token->bench->side[s], &desc, matvec);
    if (status) return status;
    token->side[s].matvecs++;
    result->bytes = (double)matvec->info.weight_bytes;
    snprintf(result->plugin, sizeof result->plugin, "%s", weir_plan_plugin(matvec->plan));
    snprintf(result->kernel, sizeof result->kernel, "%s", matvec->info.kernel);
  }
  token->matrices++;
  return find_line(token, &line, &token->step_line[index]);
}

/* Which of the distinct attentions a step is; a new one gets a query. */
static weir_status find_attention(token *token, const weir_sdpa_desc *desc, uint32_t *out_index) {
  token_attention *attention;
  for (uint32_t i = 0; i < token->attentions; i++)
    if (memcmp(&token->attention[i].desc, desc, sizeof *desc) == 0) {
      *out_index = i;
      return WEIR_OK;
    }
  *out_index = token->attentions;
  attention = &token->attention[token->attentions++];
  attention->desc = *desc;
  attention->q = bench_random(desc->q_type, (uint64_t)desc->q_heads * desc->head_dim, SEED + *out_index);
  return attention->q ? WEIR_OK : BENCH_NOMEM;
}

static weir_status plan_attention(token *token, uint32_t index) {
  const model_step *step = &token->model->step[index];
  const bench_options *options = token->bench->options;
  weir_sdpa_desc desc = bench_sdpa_describe(step->q_heads, step->kv_heads, step->head_dim, options->context,
                                            step->window, options->x_type, options->y_type);
  uint32_t attention;
  bench_line line = {.count = 0};
  weir_status status;

  desc.scale = step->scale;
  desc.softcap = step->softcap;
  status = find_attention(token, &desc, &attention);
  if (status) return status;
  token->step_attention[index] = attention;
  snprintf(line.operation, sizeof line.operation, "%s", step->name);
  if (step->window) snprintf(line.weights, sizeof line.weights, "window %u", step->window);
  snprintf(line.shape, sizeof line.shape, "%u:%u:%u:%u", desc.q_heads, desc.kv_heads, desc.head_dim, options->context);
  token->step_index[index] = token->side[0].sdpas;
  for (uint32_t s = 0; s < token->bench->sides; s++) {
    token_side *side = &token->side[s];
    bench_sdpa *sdpa = &side->sdpa[side->sdpas];
    bench_result *result = &line.side[s];
    status = bench_sdpa_open(token->bench, &token->bench->side[s], &desc, options->context,
                             token->attention[attention].q, sdpa);
    if (status) return status;
    side->sdpas++;
    result->bytes = (double)sdpa->bytes;
    snprintf(result->plugin, sizeof result->plugin, "%s", weir_plan_plugin(sdpa->plan));
    snprintf(result->kernel, sizeof result->kernel, "%s", sdpa->info.kernel);
  }
  return find_line(token, &line, &token->step_line[index]);
}

weir_status token_plan(bench *bench, const model *model, bench_report *report, token *out_token) {
  weir_status status;
  *out_token = (token){.bench = bench, .model = model, .report = report};
  status = token_alloc(out_token);
  for (uint32_t i = 0; i < model->steps && !status; i++) {
    const model_step *step = &model->step[i];
    progress_show("planning %s of layer %u", step->name, step->layer);
    if (step->is_attention) snprintf(out_token->at, sizeof out_token->at, "%s of layer %u", step->name, step->layer);
    else snprintf(out_token->at, sizeof out_token->at, "%s", step->tensor.name);
    status = step->is_attention ? plan_attention(out_token, i) : plan_matrix(out_token, i);
  }
  return status;
}

uint64_t token_packed_bytes(const token *token) {
  uint64_t total = 0;
  for (uint32_t s = 0; s < token->bench->sides; s++)
    for (uint32_t i = 0; i < token->matrices; i++) total += token->side[s].matvec[i].info.packed_size;
  return total;
}

/* ---- Loading ------------------------------------------------------------ */

/* The act that a matrix of this side reads: one that is there for its input, or a
 * new one, whose making becomes a call before the matvec's. */
static weir_status find_act(token *token, uint32_t s, const model_step *step, const bench_matvec *matvec, const void *x,
                            uint32_t *out_act) {
  token_side *side = &token->side[s];
  token_call *call;
  bench_line line = {.count = 0};
  weir_status status;

  for (uint32_t i = 0; i < side->acts; i++)
    if (side->act_input[i] == step->input && bench_act_serves(&side->act[i], matvec)) {
      *out_act = i;
      return WEIR_OK;
    }
  *out_act = side->acts;
  status = bench_act_open(matvec, x, 1, &side->act[side->acts]);
  if (status) return status;
  side->act_input[side->acts++] = step->input;

  strcpy(line.operation, "quantize x");
  snprintf(line.shape, sizeof line.shape, "%u", matvec->desc.k);
  for (uint32_t i = 0; i < token->bench->sides; i++)
    snprintf(line.side[i].plugin, sizeof line.side[i].plugin, "%s",
             weir_plan_plugin(token->side[i].matvec[token->step_index[step - token->model->step]].plan));
  call = &side->call[side->calls++];
  *call = (token_call){.kind = TOKEN_QUANTIZE, .index = *out_act};
  status = find_line(token, &line, &call->line);
  /* Its calls are counted on the first side; the other's time is spread over as many. */
  if (!status && s > 0 && token->report->line[call->line].count > 1) token->report->line[call->line].count--;
  return status;
}

static weir_status load_matrix(token *token, uint32_t index, uint32_t copies) {
  const model_step *step = &token->model->step[index];
  uint32_t matrix = token->step_index[index];
  const weir_matvec_desc *desc = &token->side[0].matvec[matrix].desc;
  bench_line *line = &token->report->line[token->step_line[index]];
  weir_import_error error = {.struct_size = sizeof error};
  bench_weights weights = {{0}, NULL, NULL, NULL};
  void *x = bench_random(desc->x_type, desc->k, SEED + step->input);
  weir_status status = x ? bench_weights_import(&step->tensor, desc, &weights, &error) : BENCH_NOMEM;

  if (status) goto out;
  line->import.max_abs = fmax(line->import.max_abs, error.max_abs);
  line->import.rms += error.rms * error.rms / line->count; /* its root is taken at the end */
  for (uint32_t s = 0; s < token->bench->sides && !status; s++) {
    token_side *side = &token->side[s];
    uint32_t act;
    status = bench_matvec_pack(&side->matvec[matrix], &weights, copies);
    if (!status) status = find_act(token, s, step, &side->matvec[matrix], x, &act);
    if (!status)
      side->call[side->calls++] =
        (token_call){.kind = TOKEN_MATVEC, .line = token->step_line[index], .index = matrix, .act = act};
  }
  if (!status) status = bench_truth_matvec(token->bench, &weights, x, 1, &token->truth[matrix]);
out:
  bench_weights_free(&weights);
  free(x);
  return status;
}

/* A cache a layer, as in the model; fewer when that would take too much memory. */
static weir_status load_caches(token *token) {
  weir_status status = WEIR_OK;
  for (uint32_t a = 0; a < token->attentions && !status; a++) {
    token_attention *attention = &token->attention[a];
    uint64_t bytes = 2ull * attention->desc.kv_heads * attention->desc.kv_capacity * attention->desc.head_dim *
                     number_size(attention->desc.kv_type);
    uint64_t most = token->bench->info.memory_bytes / 8 / bytes;
    uint32_t copies = 0;
    for (uint32_t i = 0; i < token->model->steps; i++)
      copies += token->model->step[i].is_attention && token->step_attention[i] == a;
    if (copies > most) copies = most ? (uint32_t)most : 1;
    progress_show("making K and V for %u layers", copies);
    status = bench_cache_open(token->bench, &attention->desc, copies, SEED + a, &attention->cache);
  }
  return status;
}

weir_status token_load(token *token) {
  uint32_t steps = token->model->steps;
  uint32_t copies = bench_copies(token->bench, token_packed_bytes(token) / token->bench->sides);
  weir_status status = load_caches(token);

  for (uint32_t i = 0; i < steps && !status; i++) {
    const model_step *step = &token->model->step[i];
    if (!step->is_attention) {
      snprintf(token->at, sizeof token->at, "%s", step->tensor.name);
      progress_show("%u of %u: importing, packing and computing what is right: %s", i + 1, steps, token->at);
      status = load_matrix(token, i, copies);
      continue;
    }
    for (uint32_t s = 0; s < token->bench->sides; s++)
      token->side[s].call[token->side[s].calls++] =
        (token_call){.kind = TOKEN_SDPA, .line = token->step_line[i], .index = token->step_index[i],
                     .act = token->step_attention[i]};
  }
  for (uint32_t i = 0; i < token->report->lines; i++)
    token->report->line[i].import.rms = sqrt(token->report->line[i].import.rms);
  return status;
}

/* ---- Running ------------------------------------------------------------ */

weir_status token_run(token *token, uint32_t s, double *line_seconds, double *out_seconds) {
  token_side *side = &token->side[s];
  const bench_timer *timer = token->bench->timer;
  weir_device *device = token->bench->device;
  double start, last;
  weir_status status = WEIR_OK;

  memset(line_seconds, 0, token->report->lines * sizeof *line_seconds);
  start = last = timer->stamp(device);
  for (uint32_t i = 0; i < side->calls && !status; i++) {
    const token_call *call = &side->call[i];
    double now;
    if (call->kind == TOKEN_QUANTIZE) status = bench_act_call(&side->act[call->index], 1);
    else if (call->kind == TOKEN_MATVEC)
      status = bench_matvec_call(&side->matvec[call->index], side->act[call->act].memory, 1);
    else status = bench_sdpa_call(&side->sdpa[call->index], &token->attention[call->act].cache);
    now = timer->stamp(device);
    line_seconds[call->line] += now - last;
    last = now;
  }
  *out_seconds = last - start;
  return status;
}

/* The truth of an attention holds for all its layers: they share q, k and v. */
static weir_status check_attention(token *token, uint32_t s, uint32_t attention) {
  const token_attention *shared = &token->attention[attention];
  token_side *side = &token->side[s];
  uint64_t count = (uint64_t)shared->desc.q_heads * shared->desc.head_dim;
  uint64_t bytes = count * number_size(shared->desc.o_type);
  bench_truth truth = {0};
  void *o = malloc(bytes);
  weir_status status = o ? WEIR_OK : BENCH_NOMEM;

  for (uint32_t i = 0; i < side->calls && !status; i++) {
    const bench_sdpa *sdpa = &side->sdpa[side->call[i].index];
    bench_result *result = &token->report->line[side->call[i].line].side[s];
    if (side->call[i].kind != TOKEN_SDPA || side->call[i].act != attention) continue;
    if (!truth.want)
      status = bench_truth_sdpa(token->bench, &shared->desc, sdpa->kv_len, shared->q, shared->cache.k,
                                shared->cache.v, conform_strict(weir_plan_plugin(sdpa->plan)), &truth);
    if (!status) status = weir_memory_download(sdpa->device, o, sdpa->o, bytes, NULL);
    if (status) break;
    bench_truth_compare(&truth, shared->desc.o_type, o, &result->error);
    result->checked = true;
  }
  bench_truth_free(&truth);
  free(o);
  return status;
}

weir_status token_check(token *token, uint32_t s) {
  token_side *side = &token->side[s];
  weir_status status = WEIR_OK;

  for (uint32_t i = 0; i < side->calls && !status; i++) {
    const token_call *call = &side->call[i];
    bench_result *result = &token->report->line[call->line].side[s];
    if (call->kind != TOKEN_MATVEC) continue;
    result->checked = true;
    status = bench_matvec_check(&side->matvec[call->index], 1, &token->truth[call->index], &result->error);
  }
  for (uint32_t a = 0; a < token->attentions && !status; a++) status = check_attention(token, s, a);
  return status;
}

weir_status token_recheck(token *token, uint32_t s) {
  token_side *side = &token->side[s];
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < side->calls && !status; i++) {
    const token_call *call = &side->call[i];
    if (call->kind == TOKEN_MATVEC)
      status = bench_matvec_recheck(&side->matvec[call->index], 1, &token->report->line[call->line].side[s].error);
  }
  return status;
}

void token_close(token *token) {
  for (uint32_t s = 0; s < BENCH_SIDES; s++) {
    token_side *side = &token->side[s];
    for (uint32_t i = 0; i < side->acts; i++) bench_act_close(&side->act[i]);
    for (uint32_t i = 0; i < side->matvecs; i++) bench_matvec_close(&side->matvec[i]);
    for (uint32_t i = 0; i < side->sdpas; i++) bench_sdpa_close(&side->sdpa[i]);
    free(side->matvec);
    free(side->act);
    free(side->act_input);
    free(side->sdpa);
    free(side->call);
  }
  for (uint32_t i = 0; i < token->matrices; i++) bench_truth_free(&token->truth[i]);
  for (uint32_t a = 0; a < token->attentions; a++) {
    bench_cache_close(&token->attention[a].cache);
    free(token->attention[a].q);
  }
  free(token->truth);
  free(token->step_index);
  free(token->step_line);
  free(token->step_attention);
  free(token->attention);
  *token = (struct token){.bench = NULL};
}
