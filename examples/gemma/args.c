/* SPDX-License-Identifier: MIT */
#include "args.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TOKENS = 64, BENCH_MOST = 1 << 20, LOGITS_MOST = 1000 };

enum { /* options without a letter */
  PROMPT_FILE = 256,
  TOKENS,
  SYNTHETIC,
  CHAT,
  DEVICE,
  CONTEXT,
  CHUNK,
  TEMPERATURE,
  TOP_P,
  SEED,
  CACHE,
  BENCH,
  BANDWIDTH,
  JSON,
  PROFILE,
  PERPLEXITY,
  LOGITS,
  PRINT_TOKENS,
  LIBRARY,
  VERSION
};

static const struct option options[] = {
  {"model", required_argument, NULL, 'm'},
  {"synthetic", required_argument, NULL, SYNTHETIC},
  {"prompt", required_argument, NULL, 'p'},
  {"prompt-file", required_argument, NULL, PROMPT_FILE},
  {"tokens", required_argument, NULL, TOKENS},
  {"new-tokens", required_argument, NULL, 'n'},
  {"chat", no_argument, NULL, CHAT},
  {"device", required_argument, NULL, DEVICE},
  {"context", required_argument, NULL, CONTEXT},
  {"chunk", required_argument, NULL, CHUNK},
  {"temperature", required_argument, NULL, TEMPERATURE},
  {"top-p", required_argument, NULL, TOP_P},
  {"seed", required_argument, NULL, SEED},
  {"cache", required_argument, NULL, CACHE},
  {"bench", required_argument, NULL, BENCH},
  {"bandwidth", required_argument, NULL, BANDWIDTH},
  {"json", no_argument, NULL, JSON},
  {"profile", no_argument, NULL, PROFILE},
  {"perplexity", required_argument, NULL, PERPLEXITY},
  {"logits", required_argument, NULL, LOGITS},
  {"print-tokens", no_argument, NULL, PRINT_TOKENS},
  {"library", required_argument, NULL, LIBRARY},
  {"help", no_argument, NULL, 'h'},
  {"version", no_argument, NULL, VERSION},
  {NULL, 0, NULL, 0},
};

static const char help[] =
  "Usage: weir-gemma -m MODEL.gguf -p PROMPT [OPTION]...\n"
  "Continues a text with a Gemma 3 or Gemma 4 model, by the kernels that weir's plugins have.\n"
  "\n"
  "What to run:\n"
  "  -m, --model FILE         a GGUF file of a dense Gemma 3 or Gemma 4 model\n"
  "      --synthetic NAME     random weights instead: gemma3-270m, gemma4-31b or tiny\n"
  "  -p, --prompt TEXT        the text to continue\n"
  "      --prompt-file FILE   its text is continued\n"
  "      --tokens ID,ID,...   these tokens are continued; nothing is put before them\n"
  "  -n, --new-tokens N       how many tokens to add at most (default 64)\n"
  "      --chat               the prompt is a question; without one, questions are read from stdin\n"
  "      --temperature T      above 0: tokens are drawn at random (default 0, the likeliest)\n"
  "      --top-p P            from the likeliest tokens that have P of the probability (default 1)\n"
  "      --seed S             other draws (default 0)\n"
  "\n"
  "Where and how:\n"
  "      --device NAME        cpu or cuda:0 (default: cuda:0 where there is one, else cpu)\n"
  "      --context N          room for so many tokens (default: 4096 or what is needed)\n"
  "      --chunk N            prompt tokens in one step (default 512)\n"
  "      --cache DIR          packed weights are kept there and mapped on the next start\n"
  "      --library FILE       this libweir.so (default: libweir.so.0)\n"
  "\n"
  "What to print:\n"
  "      --print-tokens       ids of the prompt's and the new tokens instead of text\n"
  "      --logits K           with --json: the K likeliest tokens at each step, and their logits\n"
  "      --json               one JSON document instead of text\n"
  "      --profile            the time of each operation, step by step, instead of graphs\n"
  "      --bench P,N          10 runs of P prompt tokens and N new ones; the last 6 are counted\n"
  "      --bandwidth GB       GB/s that --bench compares with (default: a plain read is measured)\n"
  "      --perplexity FILE    how well the model predicts this text\n"
  "  -h, --help               show this help and exit\n"
  "      --version            show the version and exit\n"
  "\n"
  "WEIR_PLUGINS chooses kernels, WEIR_THREADS the threads of the CPU; weir-plugins(7) has the rest.\n";

WEIR_PRINTF(1, 2) static gemma_args_result complain(const char *format, ...) {
  va_list args;
  fputs("weir-gemma: ", stderr);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputs("; see weir-gemma --help\n", stderr);
  return GEMMA_ARGS_USAGE;
}

static bool read_number(const char *text, uint64_t most, char end, uint64_t *out_value, const char **out_rest) {
  char *rest;
  if (text[0] < '0' || text[0] > '9') return false;
  errno = 0;
  unsigned long long value = strtoull(text, &rest, 10);
  *out_rest = rest;
  *out_value = value;
  return !errno && value <= most && (*rest == end || *rest == '\0');
}

static gemma_args_result set_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *out) {
  const char *rest;
  if (read_number(text, most, '\0', out, &rest) && *out >= least) return GEMMA_ARGS_RUN;
  return complain("--%s %s: a number from %" PRIu64 " to %" PRIu64 " is needed", option, text, least, most);
}

static gemma_args_result set_u32(const char *option, const char *text, uint32_t least, uint32_t *out) {
  uint64_t value = 0;
  gemma_args_result result = set_number(option, text, least, INT32_MAX, &value);
  *out = (uint32_t)value;
  return result;
}

static gemma_args_result set_real(const char *option, const char *text, double least, double most, double *out) {
  char *end;
  *out = strtod(text, &end);
  if (end != text && !*end && *out >= least && *out <= most) return GEMMA_ARGS_RUN;
  return complain("--%s %s: a number from %g to %g is needed", option, text, least, most);
}

static gemma_args_result set_float(const char *option, const char *text, double least, double most, float *out) {
  double value;
  gemma_args_result result = set_real(option, text, least, most, &value);
  *out = (float)value;
  return result;
}

static gemma_args_result set_bench(const char *text, gemma_args *args) {
  uint64_t prompt = 0, new_tokens = 0;
  const char *rest;
  if (!read_number(text, BENCH_MOST, ',', &prompt, &rest) || *rest != ',' ||
      !read_number(rest + 1, BENCH_MOST, '\0', &new_tokens, &rest) || !prompt || !new_tokens)
    return complain("--bench %s: two numbers from 1 to %d with a comma between are needed, as in 2401,256", text,
                    BENCH_MOST);
  args->bench_prompt = (uint32_t)prompt;
  args->bench_new = (uint32_t)new_tokens;
  return GEMMA_ARGS_RUN;
}

static gemma_args_result set(int code, const char *text, gemma_args *args) {
  switch (code) {
    case 'm': args->model = text; break;
    case 'p': args->prompt = text; break;
    case 'n': return set_u32("new-tokens", text, 0, &args->new_tokens);
    case PROMPT_FILE: args->prompt_file = text; break;
    case TOKENS: args->tokens = text; break;
    case SYNTHETIC: args->synthetic = text; break;
    case CHAT: args->chat = true; break;
    case DEVICE: args->device = text; break;
    case CONTEXT: return set_u32("context", text, 1, &args->context);
    case CHUNK: return set_u32("chunk", text, 1, &args->chunk);
    case TEMPERATURE: return set_float("temperature", text, 0, 1e6, &args->sampling.temperature);
    case TOP_P: return set_float("top-p", text, 1e-6, 1, &args->sampling.top_p);
    case SEED: return set_number("seed", text, 0, UINT64_MAX, &args->sampling.seed);
    case CACHE: args->cache = text; break;
    case BENCH: return set_bench(text, args);
    case BANDWIDTH: return set_real("bandwidth", text, 1e-3, 1e6, &args->bandwidth);
    case JSON: args->json = true; break;
    case PROFILE: args->profile = true; break;
    case PERPLEXITY: args->perplexity = text; break;
    case LOGITS: {
      gemma_args_result result = set_u32("logits", text, 1, &args->top);
      return result == GEMMA_ARGS_RUN && args->top > LOGITS_MOST ? complain("--logits %s: at most %d", text, LOGITS_MOST) : result;
    }
    case PRINT_TOKENS: args->print_tokens = true; break;
    case LIBRARY: args->library = text; break;
    default: break;
  }
  return GEMMA_ARGS_RUN;
}

static gemma_args_result check(const gemma_args *args) {
  const int prompts = (args->prompt != NULL) + (args->prompt_file != NULL) + (args->tokens != NULL);
  const bool other_job = args->bench_prompt || args->perplexity;
  if (!args->model == !args->synthetic) return complain("one of --model and --synthetic is needed");
  if (prompts > 1) return complain("more than one of --prompt, --prompt-file and --tokens is given");
  if (args->bench_prompt && args->perplexity) return complain("--bench and --perplexity are two jobs; give one");
  if (other_job && (prompts || args->chat)) return complain("--bench and --perplexity take no prompt");
  if (!other_job && !prompts && !args->chat) return complain("a prompt is needed: --prompt, --prompt-file or --tokens");
  if (args->synthetic && !args->tokens && !args->bench_prompt)
    return complain("a synthetic model has no words; give --tokens or --bench");
  if (args->chat && args->tokens) return complain("--chat takes text, not --tokens");
  if (args->top && (!args->json || other_job)) return complain("--logits is for --json, and not for --bench or --perplexity");
  if (args->chat && !prompts && (args->json || args->print_tokens || args->profile || !args->new_tokens))
    return complain("a conversation (--chat without a prompt) takes no --json, --print-tokens, --profile or -n 0");
  return GEMMA_ARGS_RUN;
}

gemma_args_result gemma_args_parse(int argc, char **argv, gemma_args *out_args) {
  *out_args = (gemma_args){.new_tokens = DEFAULT_TOKENS, .sampling = {.top_p = 1}};
  opterr = 0;
  for (;;) {
    int code = getopt_long(argc, argv, ":m:p:n:h", options, NULL);
    if (code == -1) break;
    if (code == ':') return complain("%s needs a value", argv[optind - 1]);
    if (code == '?' && optopt && optopt < 256) return complain("unknown option -%c", optopt);
    if (code == '?') return complain("unknown, ambiguous or malformed option %s", argv[optind - 1]);
    if (code == 'h') {
      fputs(help, stdout);
      return GEMMA_ARGS_DONE;
    }
    if (code == VERSION) {
      printf("weir-gemma %s\n", GEMMA_VERSION);
      return GEMMA_ARGS_DONE;
    }
    gemma_args_result result = set(code, optarg, out_args);
    if (result != GEMMA_ARGS_RUN) return result;
  }
  if (optind < argc) return complain("unexpected argument '%s'", argv[optind]);
  return check(out_args);
}

weir_status gemma_args_tokens(const char *text, int32_t **out_tokens, uint32_t *out_count) {
  uint32_t count = 1;
  *out_count = 0;
  for (const char *at = text; *at; at++) count += *at == ',';
  int32_t *tokens = malloc(count * sizeof *tokens);
  *out_tokens = tokens;
  if (!tokens) return gemma_fail(WEIR_E_NOMEM, "no memory for %u tokens", count);
  for (uint32_t i = 0; i < count; i++) {
    uint64_t value;
    const char *rest;
    if (!read_number(text, INT32_MAX, ',', &value, &rest)) {
      free(tokens);
      *out_tokens = NULL;
      return gemma_fail(WEIR_E_SYNTAX, "--tokens: number %u is no token; numbers with commas between are needed", i + 1);
    }
    tokens[i] = (int32_t)value;
    text = rest + 1;
  }
  *out_count = count;
  return WEIR_OK;
}
