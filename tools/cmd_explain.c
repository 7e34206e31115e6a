/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <weir/weir.h>

#include "args.h"
#include "commands.h"
#include "json.h"
#include "shape.h"
#include "table.h"
#include "words.h"

typedef struct explain_options {
  const char *device;
  uint32_t group, q_len, window, threads;
  const char *zero, *form, *act, *x, *y, *scale_type, *bias;
  const char *mask, *kv_type;
  double softcap;
  int causal, json;
} explain_options;

#define OPTION(name, letter, kind, value, help, member) \
  { name, letter, kind, value, help, offsetof(explain_options, member) }
static const struct arg explain_args[] = {
  OPTION("device", 'd', ARG_TEXT, "NAME", "a device, or a description: cuda:sm=90,sms=132 (default cpu)", device),
  OPTION("group", 'g', ARG_U32, "G", "matvec: weights per scale (default 32)", group),
  OPTION("zero", 0, ARG_TEXT, "TYPE", "matvec: none, u8, s8, f32, f16 or bf16 (default none)", zero),
  OPTION("form", 0, ARG_TEXT, "FORM", "matvec: zero or min (default zero)", form),
  OPTION("act", 0, ARG_TEXT, "KIND", "matvec: activations, int8 or exact (default int8)", act),
  OPTION("x", 0, ARG_TEXT, "TYPE", "type of x or q: f32, f16 or bf16 (default bf16)", x),
  OPTION("y", 0, ARG_TEXT, "TYPE", "type of y or o: f32, f16 or bf16 (default bf16)", y),
  OPTION("scale-type", 0, ARG_TEXT, "TYPE", "matvec: f32, f16 or bf16 (default f16)", scale_type),
  OPTION("bias", 0, ARG_TEXT, "TYPE", "matvec: none, f32, f16 or bf16 (default none)", bias),
  OPTION("q-len", 0, ARG_U32, "L", "sdpa: most queries in one call (default 1)", q_len),
  OPTION("causal", 0, ARG_FLAG, NULL, "sdpa: causal, aligned bottom-right", causal),
  OPTION("window", 0, ARG_U32, "W", "sdpa: sliding window (default 0, none)", window),
  OPTION("mask", 0, ARG_TEXT, "TYPE", "sdpa: none, bool, f32, f16 or bf16 (default none)", mask),
  OPTION("kv-type", 0, ARG_TEXT, "TYPE", "sdpa: f32, f16 or bf16 (default bf16)", kv_type),
  OPTION("softcap", 0, ARG_DOUBLE, "C", "sdpa: bound of the scores (default 0, none)", softcap),
  OPTION("threads", 't', ARG_U32, "N", "threads of the CPU device (default: WEIR_THREADS, else all)", threads),
  OPTION("json", 0, ARG_FLAG, NULL, "print one JSON document", json),
};
static const struct arg_command explain_command = {
  "explain",
  "Shows what every plugin answers to one problem, and which would serve it.\n"
  "OP is int4_matvec or int8_matvec with SHAPE N,K[,M] (outputs, inputs, rows), or\n"
  "sdpa with SHAPE HQ:HKV:D:LEN (heads, KV heads, head dimension, KV length).\n"
  "Exit status: 0 a plugin serves, 1 none does, 2 wrong usage.",
  "OP SHAPE", explain_args, sizeof explain_args / sizeof explain_args[0]};

enum { MOST_CANDIDATES = 256 };

/* One problem of either family. */
typedef struct problem {
  weir_op op;
  weir_matvec_desc matvec;
  weir_sdpa_desc sdpa;
} problem;

static bool describe_matvec(const explain_options *options, const char *shape, weir_op op, weir_matvec_desc *out,
                            char *error, size_t size) {
  *out = (weir_matvec_desc){.struct_size = sizeof *out, .op = op, .m_max = 1, .group = options->group};
  return shape_parse_matvec(shape, &out->n, &out->k, &out->m_max, error, size) &&
         words_value(words_type, "--zero", options->zero, &out->zero_type, error, size) &&
         words_value(words_form, "--form", options->form, &out->form, error, size) &&
         words_value(words_act, "--act", options->act, &out->act, error, size) &&
         words_value(words_type, "--x", options->x, &out->x_type, error, size) &&
         words_value(words_type, "--y", options->y, &out->y_type, error, size) &&
         words_value(words_type, "--scale-type", options->scale_type, &out->scale_type, error, size) &&
         words_value(words_type, "--bias", options->bias, &out->bias_type, error, size);
}

static bool describe_sdpa(const explain_options *options, const char *shape, weir_sdpa_desc *out, char *error,
                          size_t size) {
  *out = (weir_sdpa_desc){.struct_size = sizeof *out,
                          .op = WEIR_OP_SDPA,
                          .flags = options->causal ? WEIR_SDPA_CAUSAL : 0,
                          .batch = 1,
                          .q_len_max = options->q_len,
                          .window = options->window,
                          .softcap = (float)options->softcap};
  if (!shape_parse_sdpa(shape, &out->q_heads, &out->kv_heads, &out->head_dim, &out->kv_capacity, error, size))
    return false;
  out->scale = 1 / sqrtf((float)out->head_dim);
  return words_value(words_mask, "--mask", options->mask, &out->mask, error, size) &&
         words_value(words_type, "--x", options->x, &out->q_type, error, size) &&
         words_value(words_type, "--kv-type", options->kv_type, &out->kv_type, error, size) &&
         words_value(words_type, "--y", options->y, &out->o_type, error, size);
}

static void print_people(const weir_candidate *candidates, uint32_t count) {
  static const char *const headings[] = {">rank", "plugin", ">score", "state", "reason"};
  table *rows = table_new(headings, sizeof headings / sizeof headings[0]);

  for (uint32_t i = 0; i < count; i++) {
    const weir_candidate *at = &candidates[i];
    bool ranked = at->state == WEIR_CANDIDATE_CHOSEN || at->state == WEIR_CANDIDATE_ELIGIBLE;
    table_cell(rows, ranked ? "%u" : "-", i + 1);
    table_cell(rows, "%s", at->plugin);
    table_cell(rows, "%d", (int)at->score);
    table_cell(rows, "%s", words_text(words_candidate, at->state));
    table_cell(rows, "%s", at->reason);
  }
  table_print(rows, stdout);
  table_free(rows);
}

static int print_json(const problem *problem, const char *device, const char *shape, const weir_candidate *candidates,
                      uint32_t count, weir_status status) {
  struct json json;
  json_start(&json, stdout);
  json_object_begin(&json);
  json_key(&json, "op");
  json_string(&json, words_text(words_op, problem->op));
  json_key(&json, "shape");
  json_string(&json, shape);
  json_key(&json, "device");
  json_string(&json, device);
  json_key(&json, "candidates");
  json_array_begin(&json);
  for (uint32_t i = 0; i < count; i++) {
    json_object_begin(&json);
    json_key(&json, "plugin");
    json_string(&json, candidates[i].plugin);
    json_key(&json, "score");
    json_int(&json, candidates[i].score);
    json_key(&json, "state");
    json_string(&json, words_text(words_candidate, candidates[i].state));
    json_key(&json, "reason");
    json_string(&json, candidates[i].reason);
    json_object_end(&json);
  }
  json_array_end(&json);
  json_key(&json, "status");
  json_string(&json, status ? weir_status_name(status) : "WEIR_OK");
  json_key(&json, "error");
  if (status) json_string(&json, weir_last_error());
  else json_null(&json);
  json_object_end(&json);
  return json_finish(&json) ? 1 : 0;
}

static int explain(const explain_options *options, const problem *problem, const char *shape) {
  static weir_candidate candidates[MOST_CANDIDATES];
  weir_options open = {.struct_size = sizeof open, .threads = options->threads};
  weir_runtime *runtime = NULL;
  weir_device *device = NULL;
  uint32_t count = 0;
  int result = 0;
  weir_status status = weir_open(&open, &runtime);

  if (!status) status = weir_device_open(runtime, options->device, &device);
  if (status) {
    result = words_failure("explain", status);
    goto out;
  }
  for (uint32_t i = 0; i < MOST_CANDIDATES; i++) candidates[i].struct_size = sizeof candidates[i];
  status = problem->op == WEIR_OP_SDPA
             ? weir_explain_sdpa(device, &problem->sdpa, candidates, MOST_CANDIDATES, &count)
             : weir_explain_matvec(device, &problem->matvec, candidates, MOST_CANDIDATES, &count);
  if (count > MOST_CANDIDATES) count = MOST_CANDIDATES;
  if (options->json) result = print_json(problem, options->device, shape, candidates, count, status);
  else if (count) print_people(candidates, count);
  fflush(stdout);
  if (status) result = words_failure("explain", status);
out:
  weir_device_close(device);
  weir_close(runtime);
  return result;
}

int cmd_explain(int argc, char **argv) {
  explain_options options = {.device = "cpu", .group = 32, .zero = "none", .form = "zero", .act = "int8",
                             .x = "bf16", .y = "bf16", .scale_type = "f16", .bias = "none", .mask = "none",
                             .kv_type = "bf16", .q_len = 1};
  problem problem;
  char error[400];
  int first, result = args_parse(&explain_command, argc, argv, &options, &first);
  bool ok;

  if (result) return result == ARGS_HELP ? 0 : 2;
  if (argc - first != 2)
    return args_complain(&explain_command, "OP and SHAPE are wanted, such as: weir explain int4_matvec 4096,4096");
  ok = words_value(words_op, "operation", argv[first], &problem.op, error, sizeof error);
  if (ok && problem.op == WEIR_OP_SDPA)
    ok = describe_sdpa(&options, argv[first + 1], &problem.sdpa, error, sizeof error);
  else if (ok)
    ok = describe_matvec(&options, argv[first + 1], problem.op, &problem.matvec, error, sizeof error);
  if (!ok) return args_complain(&explain_command, "%s", error);
  return explain(&options, &problem, argv[first + 1]);
}
