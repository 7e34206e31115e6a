/* SPDX-License-Identifier: MIT */

#include "args.h"
#include "commands.h"
#include "conform.h"
#include "json.h"
#include "progress.h"
#include "words.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

struct wish {
  const char *plugin, *op, *device, *filter, *bit_identical;
  int quick, tiny, graph, list, json;
  uint64_t seed;
};

static const struct arg args[] = {
    {"plugin", 'p', ARG_TEXT, "NAME", "the plugin to verify, as 'weir list' names it", offsetof(struct wish, plugin)},
    {"op", 'o', ARG_TEXT, "OP", "only int4_matvec, int8_matvec or sdpa", offsetof(struct wish, op)},
    {"device", 'd', ARG_TEXT, "DEVICE", "where to run it (default: cpu)", offsetof(struct wish, device)},
    {"filter", 'f', ARG_TEXT, "TEXT", "only the case of this name, or those whose name contains it",
     offsetof(struct wish, filter)},
    {"quick", 'q', ARG_FLAG, NULL, "a short selection of the cases", offsetof(struct wish, quick)},
    {"tiny", 0, ARG_FLAG, NULL, "a few cases of every kind, for use under a sanitizer", offsetof(struct wish, tiny)},
    {"graph", 'g', ARG_FLAG, NULL, "capture every call in a graph and judge its replays with changed inputs (CUDA)",
     offsetof(struct wish, graph)},
    {"bit-identical", 'b', ARG_TEXT, "PLUGIN", "this plugin must give the same bits in every matvec case",
     offsetof(struct wish, bit_identical)},
    {"seed", 's', ARG_U64, "N", "of the data and of the random combinations (default: 1)", offsetof(struct wish, seed)},
    {"list", 'l', ARG_FLAG, NULL, "name the cases, run nothing; '*' marks those that must be supported",
     offsetof(struct wish, list)},
    {"json", 0, ARG_FLAG, NULL, "write every case's result as JSON", offsetof(struct wish, json)},
};
static const struct arg_command command = {
    "verify",
    "Proves a plugin against the conformance suite: every case on the device, compared\n"
    "with the plugin 'ref' on the CPU and with the suite's own computation.\n"
    "Exit status: 0 it conforms, 1 it does not or could not run, 2 wrong usage.",
    NULL, args, sizeof args / sizeof args[0]};

struct printer {
  struct json json;
  int as_json;
  const struct conform_options *options;
};

/* A plugin that crashes takes the suite with it, so the case is named first. */
static char running[256];

static void on_crash(int signal_number) {
  static const char text[] = "\nweir verify: the plugin crashed in the case ";
  ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
  written += write(STDERR_FILENO, running, strlen(running));
  written += write(STDERR_FILENO, "\n", 1);
  signal(signal_number, SIG_DFL);
  raise(written < 0 ? SIGABRT : signal_number);
}

static void watch_for_crashes(void) {
  static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
  struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; ++i) {
    sigaction(signals[i], &action, NULL);
  }
}

static void note_case(void *user, const char *name) {
  (void)user;
  snprintf(running, sizeof running, "%s", name);
}

static const char *const status_names[] = {"pass", "fail", "unsupported"};

static void print_result(void *user, const struct conform_result *result) {
  struct printer *printer = user;
  if (printer->as_json) {
    struct json *json = &printer->json;
    json_object_begin(json);
    json_key(json, "case");
    json_string(json, result->name);
    json_key(json, "op");
    json_string(json, words_text(words_op, result->op));
    json_key(json, "status");
    json_string(json, status_names[result->status]);
    json_key(json, "must");
    json_bool(json, result->must);
    if (result->status != CONFORM_PASS) {
      json_key(json, "check");
      json_string(json, result->check);
      json_key(json, "detail");
      json_string(json, result->detail);
    }
    json_object_end(json);
  } else if (result->status == CONFORM_FAIL) {
    progress_clear();
    printf("FAIL %s\n  %s: %s\n", result->name, result->check, result->detail);
  }
  progress_show("%u of %u: %s", result->index + 1, result->count, result->name);
}

static void print_name(void *user, const char *name, weir_op op, int must) {
  struct printer *printer = user;
  if (printer->as_json) {
    json_object_begin(&printer->json);
    json_key(&printer->json, "case");
    json_string(&printer->json, name);
    json_key(&printer->json, "op");
    json_string(&printer->json, words_text(words_op, op));
    json_key(&printer->json, "must");
    json_bool(&printer->json, must);
    json_object_end(&printer->json);
  } else {
    printf("%c %s\n", must ? '*' : ' ', name);
  }
}

static void start(struct printer *printer) {
  if (printer->as_json) {
    json_start(&printer->json, stdout);
    json_object_begin(&printer->json);
    json_key(&printer->json, "cases");
    json_array_begin(&printer->json);
  }
}

static int finish_list(struct printer *printer) {
  if (printer->as_json) {
    json_array_end(&printer->json);
    json_object_end(&printer->json);
    return json_finish(&printer->json) ? 1 : 0;
  }
  return fflush(stdout) || ferror(stdout) ? 1 : 0;
}

static int finish_run(struct printer *printer, const struct conform_summary *summary) {
  const struct conform_options *options = printer->options;
  int passed = summary->error[0] == 0 && conform_passed(summary);
  progress_clear();
  if (printer->as_json) {
    struct json *json = &printer->json;
    json_array_end(json);
    json_key(json, "plugin");
    json_string(json, options->plugin);
    json_key(json, "device");
    json_string(json, options->device);
    json_key(json, "graph");
    json_bool(json, options->graph);
    json_key(json, "bit_identical");
    json_string(json, options->bit_identical);
    json_key(json, "seed");
    json_uint(json, options->seed);
    json_key(json, "kernels");
    json_string(json, summary->kernels);
    json_key(json, "passed");
    json_uint(json, summary->passed);
    json_key(json, "failed");
    json_uint(json, summary->failed);
    json_key(json, "unsupported");
    json_uint(json, summary->unsupported);
    json_key(json, "error");
    json_string(json, summary->error[0] ? summary->error : NULL);
    json_key(json, "conforms");
    json_bool(json, passed);
    json_object_end(json);
    return json_finish(json) || !passed ? 1 : 0;
  }
  if (summary->error[0]) {
    fprintf(stderr, "weir verify: %s\n", summary->error);
    return 1;
  }
  if (summary->kernels[0]) {
    printf("kernels: %s\n", summary->kernels);
  }
  if (summary->failed) {
    printf("repeat one with: weir verify --plugin %s --device %s --seed %llu%s%s%s --filter CASE\n", options->plugin,
           options->device, (unsigned long long)options->seed, options->graph ? " --graph" : "",
           options->bit_identical ? " --bit-identical " : "", options->bit_identical ? options->bit_identical : "");
  }
  printf("verify: plugin %s on %s%s: %u passed, %u failed, %u unsupported\n", options->plugin, options->device,
         options->graph ? ", from graphs" : "", summary->passed, summary->failed, summary->unsupported);
  if (options->bit_identical && passed) {
    printf("verify: every result of a matvec has the bits of plugin %s's\n", options->bit_identical);
  }
  if (summary->failed == 0 && summary->passed == 0) {
    printf("verify: nothing passed, so nothing is proved\n");
  }
  return fflush(stdout) || ferror(stdout) || !passed ? 1 : 0;
}

int cmd_verify(int argc, char **argv) {
  struct wish wish = {.device = "cpu", .seed = 1};
  struct conform_options options = {0};
  struct conform_summary summary;
  int first;
  switch (args_parse(&command, argc, argv, &wish, &first)) {
    case ARGS_HELP:
      return 0;
    case ARGS_USAGE:
      return 2;
    default:
      break;
  }
  if (wish.op) {
    char error[256];
    if (!words_value(words_op, "op", wish.op, &options.op, error, sizeof error)) {
      return args_complain(&command, "%s", error);
    }
  }
  if (!wish.plugin && !wish.list) {
    return args_complain(&command, "--plugin NAME is missing");
  }
  options.plugin = wish.plugin;
  options.device = wish.device;
  options.filter = wish.filter;
  options.quick = wish.quick;
  options.tiny = wish.tiny;
  options.graph = wish.graph;
  options.bit_identical = wish.bit_identical;
  options.seed = wish.seed;
  options.starting = note_case;
  struct printer printer = {.as_json = wish.json, .options = &options};
  start(&printer);
  if (wish.list) {
    int failed = conform_list(&options, print_name, &printer);
    return finish_list(&printer) || failed ? 1 : 0;
  }
  watch_for_crashes();
  conform_run(&options, print_result, &printer, &summary);
  return finish_run(&printer, &summary);
}
