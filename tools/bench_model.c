/* SPDX-License-Identifier: MIT */
#include "bench_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "words.h"

/* Where a matrix gets its activations from. */
typedef enum source { FROM_NORM, FROM_SECOND_NORM, FROM_OWN } source;

/* In the order of one layer's token. `experts`: a stack of matrices, of which a
 * token uses expert_used_count. */
static const struct role {
  const char *suffix;
  source source;
  bool experts;
} roles[] = {
  {"attn_qkv", FROM_NORM, false},
  {"attn_q", FROM_NORM, false},
  {"attn_k", FROM_NORM, false},
  {"attn_v", FROM_NORM, false},
  {NULL, FROM_OWN, false}, /* attention */
  {"attn_output", FROM_OWN, false},
  {"ffn_gate_inp", FROM_SECOND_NORM, false},
  {"ffn_gate", FROM_SECOND_NORM, false},
  {"ffn_up", FROM_SECOND_NORM, false},
  {"ffn_gate_up", FROM_SECOND_NORM, false},
  {"ffn_gate_shexp", FROM_SECOND_NORM, false},
  {"ffn_up_shexp", FROM_SECOND_NORM, false},
  {"ffn_gate_exps", FROM_SECOND_NORM, true},
  {"ffn_up_exps", FROM_SECOND_NORM, true},
  {"ffn_gate_up_exps", FROM_SECOND_NORM, true},
  {"ffn_down", FROM_OWN, false},
  {"ffn_down_shexp", FROM_OWN, false},
  {"ffn_down_exps", FROM_OWN, true},
};
enum { ROLES = sizeof roles / sizeof roles[0], SMALLEST_MATRIX = 64, FULL_EVERY_GEMMA3 = 6, FULL_EVERY_GEMMA2 = 2 };

WEIR_PRINTF(2, 3)
static void note(model *model, const char *format, ...) {
  size_t used = strlen(model->note);
  va_list args;
  if (used && used + 1 < sizeof model->note) {
    model->note[used++] = '\n';
    model->note[used] = '\0';
  }
  va_start(args, format);
  vsnprintf(model->note + used, sizeof model->note - used, format, args);
  va_end(args);
}

static int complain(const char *command, const char *format, ...) WEIR_PRINTF(2, 3);
static int complain(const char *command, const char *format, ...) {
  va_list args;
  progress_clear();
  fprintf(stderr, "weir %s: ", command);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  return 1;
}

static model_step *add_step(model *model) {
  if (model->steps == model->capacity) {
    uint32_t capacity = model->capacity ? 2 * model->capacity : 128;
    model_step *grown = realloc(model->step, capacity * sizeof *grown);
    if (!grown) return NULL;
    model->step = grown;
    model->capacity = capacity;
  }
  model->step[model->steps] = (model_step){.is_attention = false};
  return &model->step[model->steps++];
}

/* ---- Metadata ----------------------------------------------------------- */

/* ARCH.KEY, of one layer where it is an array; `otherwise` when it is missing. */
static int64_t meta(const model *model, const char *key, uint32_t layer, int64_t otherwise) {
  char full[160];
  int64_t value;
  weir_status status;
  snprintf(full, sizeof full, "%s.%s", model->arch, key);
  status = weir_gguf_int(model->gguf, full, &value);
  if (status == WEIR_E_TYPE) status = weir_gguf_array_int(model->gguf, full, layer, &value);
  return status ? otherwise : value;
}

static double meta_float(const model *model, const char *key, double otherwise) {
  char full[160];
  double value;
  snprintf(full, sizeof full, "%s.%s", model->arch, key);
  return weir_gguf_float(model->gguf, full, &value) ? otherwise : value;
}

/* Does this layer attend to a window only? Newer files say so layer by layer, or
 * give the distance of the full layers; of older ones the architecture knows. */
static bool is_sliding(const model *model, uint32_t layer) {
  char key[160];
  uint64_t count;
  int64_t value, every = 0;

  snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", model->arch);
  if (weir_gguf_array_count(model->gguf, key, &count) == WEIR_OK)
    return weir_gguf_array_int(model->gguf, key, layer, &value) == WEIR_OK && value != 0;
  if (weir_gguf_int(model->gguf, key, &value) == WEIR_OK) every = value;
  else if (strcmp(model->arch, "gemma3") == 0) every = FULL_EVERY_GEMMA3;
  else if (strcmp(model->arch, "gemma2") == 0) every = FULL_EVERY_GEMMA2;
  return every > 0 ? (layer + 1) % every != 0 : true;
}

/* False with a note when this layer's attention is none that sdpa does. */
static bool describe_attention(model *model, uint32_t layer, model_step *out) {
  int64_t q_heads = meta(model, "attention.head_count", layer, 0);
  int64_t kv_heads = meta(model, "attention.head_count_kv", layer, q_heads);
  int64_t window = meta(model, "attention.sliding_window", layer, 0);
  bool sliding = window > 0 && is_sliding(model, layer);
  int64_t width = q_heads > 0 ? meta(model, "embedding_length", layer, 0) / q_heads : 0;
  int64_t key = meta(model, "attention.key_length", layer, width);
  int64_t value = meta(model, "attention.value_length", layer, key);

  if (sliding) {
    key = meta(model, "attention.key_length_swa", layer, key);
    value = meta(model, "attention.value_length_swa", layer, value);
  }
  *out = (model_step){.is_attention = true, .layer = layer};
  if (q_heads < 1 || kv_heads < 1 || q_heads > 65536 || q_heads % kv_heads != 0 || key < 1 || key > 65536 ||
      key != value || window < 0 || window > INT32_MAX) {
    if (!strstr(model->note, "attention is left out"))
      note(model,
           "attention is left out: the file says %lld query heads, %lld KV heads, keys of %lld and values of %lld",
           (long long)q_heads, (long long)kv_heads, (long long)key, (long long)value);
    return false;
  }
  out->q_heads = (uint32_t)q_heads;
  out->kv_heads = (uint32_t)kv_heads;
  out->head_dim = (uint32_t)key;
  out->window = sliding ? (uint32_t)window : 0;
  out->scale = (float)meta_float(model, "attention.scale", 1 / sqrt((double)key));
  out->softcap = (float)meta_float(model, "attn_logit_softcapping", 0);
  snprintf(out->name, sizeof out->name, "%s", out->window ? "sdpa window" : "sdpa");
  return true;
}

/* ---- Matrices ----------------------------------------------------------- */

static bool add_matrix(model *model, const char *name, uint32_t layer, const weir_tensor *tensor, uint32_t input) {
  model_step *step = add_step(model);
  if (!step) return false;
  snprintf(step->name, sizeof step->name, "%s", name);
  step->layer = layer;
  step->tensor = *tensor;
  step->input = input;
  return true;
}

/* The matrices of the first `used` experts of a stack. */
static bool add_experts(model *model, const struct role *role, uint32_t layer, const weir_tensor *stack,
                        uint32_t shared_input) {
  uint64_t experts = stack->dims[2];
  int64_t used = meta(model, "expert_used_count", layer, 1);
  for (uint64_t e = 0; e < experts && (int64_t)e < used; e++) {
    weir_tensor tensor = *stack;
    tensor.dim_count = 2;
    tensor.dims[2] = 1;
    tensor.bytes = stack->bytes / experts;
    tensor.data = (const char *)stack->data + e * tensor.bytes;
    if (!add_matrix(model, role->suffix, layer, &tensor, role->source == FROM_OWN ? model->inputs++ : shared_input))
      return false;
  }
  return true;
}

static bool add_layer(model *model, uint32_t layer) {
  uint32_t norm = model->inputs, second = model->inputs + 1;
  bool projected = false;

  model->inputs += 2;
  for (size_t i = 0; i < ROLES; i++) {
    const struct role *role = &roles[i];
    weir_tensor tensor = {.struct_size = sizeof tensor};
    char name[96];

    if (!role->suffix) {
      model_step attention, *step;
      if (!projected || !describe_attention(model, layer, &attention)) continue;
      step = add_step(model);
      if (!step) return false;
      *step = attention;
      continue;
    }
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, role->suffix);
    if (weir_gguf_find(model->gguf, name, &tensor)) continue;
    if (role->source == FROM_NORM) projected = true;
    if (role->experts && tensor.dim_count == 3) {
      if (!add_experts(model, role, layer, &tensor, second)) return false;
    } else if (tensor.dim_count == 2) {
      uint32_t input = role->source == FROM_NORM          ? norm
                       : role->source == FROM_SECOND_NORM ? second
                                                          : model->inputs++;
      if (!add_matrix(model, role->suffix, layer, &tensor, input)) return false;
    }
  }
  return true;
}

static bool is_measured(const char *suffix) {
  for (size_t i = 0; i < ROLES; i++)
    if (roles[i].suffix) {
      size_t length = strlen(roles[i].suffix);
      if (strncmp(suffix, roles[i].suffix, length) == 0 && strcmp(suffix + length, ".weight") == 0) return true;
    }
  return false;
}

/* Names the matrices of layers that a token may read and the roles do not know. */
static void note_rest(model *model) {
  uint64_t count = weir_gguf_tensor_count(model->gguf), rest = 0;
  char first[96] = "";
  for (uint64_t i = 0; i < count; i++) {
    weir_tensor tensor = {.struct_size = sizeof tensor};
    const char *suffix;
    if (weir_gguf_tensor(model->gguf, i, &tensor) || strncmp(tensor.name, "blk.", 4) != 0) continue;
    suffix = strchr(tensor.name + 4, '.');
    if (!suffix || is_measured(suffix + 1) || tensor.dim_count < 2 || tensor.dims[0] < SMALLEST_MATRIX ||
        tensor.dims[1] < SMALLEST_MATRIX)
      continue;
    if (!rest++) snprintf(first, sizeof first, "%s", tensor.name);
  }
  if (rest) note(model, "%llu matrices are not measured, %s is the first", (unsigned long long)rest, first);
}

static void read_text(const model *model, const char *key, char *out, size_t size) {
  const char *text;
  uint64_t length;
  if (weir_gguf_string(model->gguf, key, &text, &length) == WEIR_OK)
    snprintf(out, size, "%.*s", length < size ? (int)length : (int)size - 1, text);
}

int model_open(const char *command, const char *path, model *out_model) {
  model *model = out_model;
  weir_tensor head = {.struct_size = sizeof head};
  int64_t layers;
  weir_status status;

  memset(model, 0, sizeof *model);
  status = weir_gguf_open(path, &model->gguf);
  if (status) return words_failure(command, status);
  read_text(model, "general.architecture", model->arch, sizeof model->arch);
  read_text(model, "general.name", model->name, sizeof model->name);
  if (!model->arch[0]) return complain(command, "%s: general.architecture is missing: not a model", path);
  layers = meta(model, "block_count", 0, 0);
  if (layers < 1 || layers > 65536)
    return complain(command, "%s: %s.block_count is %s: not a decoder model", path, model->arch,
                    layers ? "out of range" : "missing");
  model->layers = (uint32_t)layers;
  for (uint32_t layer = 0; layer < model->layers; layer++)
    if (!add_layer(model, layer)) return complain(command, "out of memory");
  if (model->steps == 0)
    return complain(command, "%s: no blk.N.attn_q.weight or any other matrix of a decoder layer", path);
  if (weir_gguf_find(model->gguf, "output.weight", &head) &&
      weir_gguf_find(model->gguf, "token_embd.weight", &head))
    return complain(command, "%s: neither output.weight nor token_embd.weight: the output head is missing", path);
  if (!add_matrix(model, "lm_head", model->layers, &head, model->inputs++)) return complain(command, "out of memory");
  note_rest(model);
  return 0;
}

void model_close(model *model) {
  weir_gguf_close(model->gguf);
  free(model->step);
  memset(model, 0, sizeof *model);
}
