/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "bench.h"
#include "bench_sweep.h"
#include "commands.h"
#include "progress.h"
#include "words.h"

#define OPTION(name, letter, kind, value, help, member) \
  { name, letter, kind, value, help, offsetof(bench_options, member) }
static const struct arg bench_args[] = {
  OPTION("gguf", 0, ARG_TEXT, "FILE", "one decode token of this model: its matrices and its attention", gguf),
  OPTION("shape", 's', ARG_TEXT, "SHAPE",
         "one matrix N,K[,M], or a model: gemma4-31b, gemma3-270m, llama-8b, qwen-moe", shape),
  OPTION("sdpa", 0, ARG_TEXT, "SHAPES",
         "attention: gemma-sliding, gemma-full, qwen, d128, all, HQ:HKV:D or HQ:HKV:D:LEN, with commas", sdpa),
  OPTION("kv", 0, ARG_TEXT, "LENGTHS", "--sdpa: KV lengths, such as 256,2600 or 64..4096 (default 64..131072)", kv),
  OPTION("queries", 0, ARG_U32, "L", "--sdpa: queries in one call (default 1)", queries),
  OPTION("causal", 0, ARG_FLAG, NULL, "--sdpa: causal, aligned bottom-right", causal),
  OPTION("capacity", 0, ARG_U32, "N",
         "--sdpa: slots of the KV buffer, its length in device memory (default: as long as KV)", capacity),
  OPTION("plugin", 'p', ARG_TEXT, "NAME",
         "force this plugin (default: as WEIR_PLUGINS says; --sdpa: all that it admits)", plugin),
  OPTION("vs", 0, ARG_TEXT, "NAME", "measure this plugin too, pair by pair, and print the ratio", vs),
  OPTION("op", 0, ARG_TEXT, "OP", "int4 or int8 weights (default: both; --gguf: as the file has them)", op),
  OPTION("group", 'g', ARG_U32, "G", "--shape: weights per scale (default 32)", group),
  OPTION("rows", 'm', ARG_U32, "M", "--shape: rows of x in one call (default 1)", rows),
  OPTION("context", 'c', ARG_U32, "LEN", "attention reads LEN slots (default 1024)", context),
  OPTION("x", 0, ARG_TEXT, "TYPE", "type of x and q: f32, f16 or bf16 (default bf16)", x),
  OPTION("y", 0, ARG_TEXT, "TYPE", "type of the results: f32, f16 or bf16 (default bf16)", y),
  OPTION("time", 0, ARG_DOUBLE, "SECONDS",
         "how long to measure (default 0.7 an operation, 0.3 with --sdpa, 4 a --gguf token)", seconds),
  OPTION("mode", 0, ARG_TEXT, "MODE", "CUDA: calls from a graph, plain (one by one) or both (default graph)", mode),
  OPTION("calls", 0, ARG_U32, "N", "CUDA: at least so many calls in one graph (default 96, 24 of 256 MiB and more)",
         calls),
  OPTION("rotate", 0, ARG_U32, "MB",
         "CUDA: go through this much of weights or KV (default 3 times the L2, at least 150)", rotate),
  OPTION("threads", 't', ARG_U32, "N", "threads of the CPU device (default: WEIR_THREADS, else all)", threads),
  OPTION("device", 'd', ARG_TEXT, "NAME", "device to measure on (default cpu)", device),
  OPTION("json", 0, ARG_FLAG, NULL, "print one JSON document", json),
};
static const struct arg_command bench_command = {
  "bench",
  "Measures operations, or one whole decode token of a model, on random\n"
  "activations, and checks every result against the plugin ref. Say what to\n"
  "measure with --gguf, --shape or --sdpa.\n"
  "Exit status: 0 all results are right, 1 a result is wrong or something failed,\n"
  "2 wrong usage.",
  NULL, bench_args, sizeof bench_args / sizeof bench_args[0]};

enum { LONGEST_NAME = 120 };

/* Fills what is derived from the texts; false and a sentence when one is wrong. */
static bool understand(bench_options *options, char *error, size_t size) {
  static const word ops[] = {{"int4", WEIR_OP_INT4_MATVEC}, {"int8", WEIR_OP_INT8_MATVEC}, {NULL, 0}};
  static const word modes[] = {{"graph", BENCH_GRAPH}, {"plain", BENCH_PLAIN}, {"both", BENCH_BOTH}, {NULL, 0}};
  static const word types[] = {{"f32", WEIR_F32}, {"f16", WEIR_F16}, {"bf16", WEIR_BF16}, {NULL, 0}};

  uint32_t mode = BENCH_GRAPH;

  error[0] = '\0';
  for (int i = 0; i < 2; i++) {
    const char *name = i ? options->vs : options->plugin;
    if (name && (name[0] == '\0' || strlen(name) > LONGEST_NAME || strpbrk(name, ",:= "))) {
      snprintf(error, size, "--%s \"%.80s\": not the name of a plugin; weir list shows them", i ? "vs" : "plugin",
               name);
      return false;
    }
  }
  if (options->op && !words_value(ops, "--op", options->op, &options->only_op, error, size)) return false;
  if (options->mode && !words_value(modes, "--mode", options->mode, &mode, error, size)) return false;
  options->calling = (bench_mode)mode;
  if (!words_value(types, "--x", options->x, &options->x_type, error, size)) return false;
  if (!words_value(types, "--y", options->y, &options->y_type, error, size)) return false;
  if (!options->gguf && !options->shape && !options->sdpa)
    snprintf(error, size, "say what to measure: --gguf FILE, --shape SHAPE or --sdpa SHAPES");
  else if (options->gguf && (options->shape || options->sdpa))
    snprintf(error, size, "--gguf measures a whole token by itself; leave %s out",
             options->shape ? "--shape" : "--sdpa");
  else if (options->gguf && (options->rows > 1 || options->group))
    snprintf(error, size, "%s goes with --shape; --gguf takes the model's own",
             options->group ? "--group" : "--rows");
  else if (options->rows == 0 || options->context == 0)
    snprintf(error, size, "%s 0: a number from 1 is wanted", options->rows ? "--context" : "--rows");
  else if (options->context > INT32_MAX)
    snprintf(error, size, "--context %u: at most 2147483647", options->context);
  else if (options->calls > 65536 || (options->rotate > 1000000 && options->rotate != UINT32_MAX))
    snprintf(error, size, options->calls > 65536 ? "--calls %u: at most 65536" : "--rotate %u: at most 1000000",
             options->calls > 65536 ? options->calls : options->rotate);
  else if (!bench_sweep_understand(options, error, size))
    return false;
  else if (options->seconds < 0 || options->seconds > 86400)
    snprintf(error, size, "--time %g: seconds from 0 to 86400", options->seconds);
  if (!options->gguf && !options->group) options->group = 32;
  return error[0] == '\0';
}

int cmd_bench(int argc, char **argv) {
  bench_options options = {.device = "cpu", .x = "bf16", .y = "bf16", .rows = 1, .context = 1024, .queries = 1,
                           .rotate = UINT32_MAX};
  bench bench;
  char error[400];
  int first, result = args_parse(&bench_command, argc, argv, &options, &first);

  if (result) return result == ARGS_HELP ? 0 : 2;
  if (!understand(&options, error, sizeof error)) return args_complain(&bench_command, "%s", error);
  result = bench_open(&options, &bench);
  if (!result) result = options.gguf ? bench_run_gguf(&bench) : bench_run_shape(&bench);
  progress_clear();
  bench_close(&bench);
  return result;
}
