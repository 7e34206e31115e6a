/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "args.h"
#include "commands.h"
#include "suggest.h"
#include "synth.h"

static const struct synth_model models[] = {
    {.word = "gemma3-270m", .name = "Synthetic Gemma 3 270m", .size_label = "270M", .context = 32768,
     .embedding = 640, .blocks = 18, .feed_forward = 2048, .heads = 4, .kv_heads = 1, .head_dim = 256,
     .window = 512, .vocabulary = 262144},
    {.word = "tiny", .name = "Synthetic tiny Gemma 3", .size_label = "1M", .context = 1024,
     .embedding = 160, .blocks = 2, .feed_forward = 512, .heads = 4, .kv_heads = 1, .head_dim = 64,
     .window = 16, .vocabulary = 512},
};
enum { MODELS = sizeof models / sizeof models[0] };

struct wish {
  uint64_t seed;
};

static const struct arg args[] = {
    {"seed", 's', ARG_U64, "N", "another model of the same shape (default 1)", offsetof(struct wish, seed)},
};

static const struct arg_command command = {
    "synth",
    "Writes a GGUF file with the tensors, shapes, types and metadata of a real Q4_K_M\n"
    "model and random weights, the same for the same seed. What it generates is noise.\n"
    "\n"
    "Models:\n"
    "  gemma3-270m  Gemma 3 270M, 253 MB\n"
    "  tiny         two layers of the same architecture, under 1 MB",
    "gemma3-270m|tiny OUT.gguf", args, sizeof args / sizeof args[0]};

static const struct synth_model *find_model(const char *word) {
  const char *names[MODELS];
  for (size_t i = 0; i < MODELS; i++) {
    if (strcmp(models[i].word, word) == 0) return &models[i];
    names[i] = models[i].word;
  }
  const char *near = suggest_nearest(word, names, MODELS);
  if (near)
    args_complain(&command, "there is no model '%s'; did you mean '%s'?", word, near);
  else
    args_complain(&command, "there is no model '%s'; there are gemma3-270m and tiny", word);
  return NULL;
}

static int complain_file(const char *path, const char *what, int error) {
  fprintf(stderr, "weir synth: %s: %s: %s\n", path, what, strerror(error));
  return 1;
}

/* The name to write under. A file is written beside its place and moved there
 * when whole; a device or a pipe has no such place and is written straight. */
static char *written_name(const char *path, bool *out_straight) {
  struct stat info;
  *out_straight = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
  size_t size = strlen(path) + sizeof ".part";
  char *name = malloc(size);
  if (name) snprintf(name, size, "%s%s", path, *out_straight ? "" : ".part");
  return name;
}

static int write_model(const struct synth_model *model, uint64_t seed, const char *path) {
  struct synth_file file = {0};
  uint32_t tensors;
  int result = 1;
  bool straight;
  char *name = written_name(path, &straight);
  if (!name) return complain_file(path, "cannot be written", ENOMEM);
  file.stream = fopen(name, "wb");
  if (!file.stream) {
    complain_file(name, "cannot be created", errno);
    goto out;
  }
  bool whole = synth_write(&file, model, seed, &tensors);
  if (fclose(file.stream) != 0 && !file.error) file.error = errno;
  if (!whole || file.error) {
    complain_file(name, "cannot be written", file.error ? file.error : ENOMEM);
    if (!straight) remove(name);
    goto out;
  }
  if (!straight && rename(name, path) != 0) {
    complain_file(path, "cannot be created", errno);
    remove(name);
    goto out;
  }
  if (!straight)
    printf("%s: %s, %" PRIu32 " tensors, %.1f MB, seed %" PRIu64 "\n", path, model->name, tensors,
           (double)file.size / 1e6, seed);
  result = 0;
out:
  free(name);
  return result;
}

int cmd_synth(int argc, char **argv) {
  struct wish wish = {.seed = 1};
  int first;
  switch (args_parse(&command, argc, argv, &wish, &first)) {
    case ARGS_OK: break;
    case ARGS_HELP: return 0;
    default: return 2;
  }
  if (argc - first != 2) {
    args_complain(&command, "a model and a file are needed, %d operand%s given", argc - first,
                  argc - first == 1 ? " is" : "s are");
    return 2;
  }
  const struct synth_model *model = find_model(argv[first]);
  return model ? write_model(model, wish.seed, argv[first + 1]) : 2;
}
