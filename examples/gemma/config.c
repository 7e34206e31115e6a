/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensors.h"

enum { KEY_SIZE = 96, GEMMA3_PERIOD = 6, WIDTH_MOST = 1 << 20, VOCABULARY_MOST = 1 << 22, CONTEXT_MOST = 1 << 24 };
static const float sliding_rope_base = 10000, full_rope_base = 1e6f;
static const float not_rotated = 1e10f; /* a frequency divided by more stands still */

/* Reads one file; after the first failure every read gives 0. */
typedef struct reader {
  const weir_gguf *gguf;
  const char *architecture;
  weir_status status;
} reader;

static void full_key(const reader *reader, const char *key, char out_key[KEY_SIZE]) {
  snprintf(out_key, KEY_SIZE, "%s.%s", reader->architecture, key);
}

static bool has_key(const reader *reader, const char *key) {
  char name[KEY_SIZE];
  int64_t number;
  double real;
  uint64_t count;
  full_key(reader, key, name);
  return weir->gguf_int(reader->gguf, name, &number) != WEIR_E_NOTFOUND ||
         weir->gguf_float(reader->gguf, name, &real) != WEIR_E_NOTFOUND ||
         weir->gguf_array_count(reader->gguf, name, &count) != WEIR_E_NOTFOUND;
}

static uint32_t bounded(reader *reader, const char *key, int64_t value, uint32_t least, uint32_t most) {
  if (value >= least && value <= most) return (uint32_t)value;
  reader->status = gemma_fail(WEIR_E_FORMAT, "the file says that %s.%s is %" PRId64 "; %u to %u are possible",
                              reader->architecture, key, value, least, most);
  return 0;
}

static uint32_t number(reader *reader, const char *key, uint32_t least, uint32_t most) {
  char name[KEY_SIZE];
  int64_t value;
  if (reader->status) return 0;
  full_key(reader, key, name);
  reader->status = weir->gguf_int(reader->gguf, name, &value);
  return reader->status ? 0 : bounded(reader, key, value, least, most);
}

static uint32_t number_or(reader *reader, const char *key, uint32_t least, uint32_t most, uint32_t otherwise) {
  if (reader->status || !has_key(reader, key)) return otherwise;
  return number(reader, key, least, most);
}

/* Of one layer: an element of an array, or the one number for all. */
static uint32_t number_of_layer(reader *reader, const char *key, uint32_t layer, uint32_t least, uint32_t most) {
  char name[KEY_SIZE];
  uint64_t count;
  int64_t value;
  if (reader->status) return 0;
  full_key(reader, key, name);
  if (weir->gguf_array_count(reader->gguf, name, &count)) return number(reader, key, least, most);
  if (layer >= count) {
    reader->status = gemma_fail(WEIR_E_FORMAT, "the file has %" PRIu64 " elements of %s, too few for layer %u", count,
                                name, layer);
    return 0;
  }
  reader->status = weir->gguf_array_int(reader->gguf, name, layer, &value);
  return reader->status ? 0 : bounded(reader, key, value, least, most);
}

static bool is_array(const reader *reader, const char *key) {
  char name[KEY_SIZE];
  uint64_t count;
  full_key(reader, key, name);
  return weir->gguf_array_count(reader->gguf, name, &count) == WEIR_OK;
}

static float real_or(reader *reader, const char *key, double least, double most, double otherwise) {
  char name[KEY_SIZE];
  double value;
  if (reader->status || !has_key(reader, key)) return (float)otherwise;
  full_key(reader, key, name);
  reader->status = weir->gguf_float(reader->gguf, name, &value);
  if (reader->status) return 0;
  if (value >= least && value <= most) return (float)value;
  reader->status = gemma_fail(WEIR_E_FORMAT, "the file says that %s is %g; %g to %g are possible", name, value, least,
                              most);
  return 0;
}

/* ---- Tensors ------------------------------------------------------------- */

static bool has_tensor(const reader *reader, const char *name) {
  weir_tensor tensor = {.struct_size = sizeof tensor};
  return weir->gguf_find(reader->gguf, name, &tensor) == WEIR_OK;
}

/* A matrix of n rows by k, or with n = 0 a vector of k. */
static void check_tensor(reader *reader, const char *name, uint32_t n, uint32_t k) {
  weir_tensor tensor = {.struct_size = sizeof tensor};
  uint64_t rows = n ? n : 1;
  if (reader->status) return;
  reader->status = weir->gguf_find(reader->gguf, name, &tensor);
  if (reader->status) return;
  bool fits = tensor.dims[0] == k && tensor.dim_count <= 2 && (tensor.dim_count == 2 ? tensor.dims[1] : 1) == rows;
  if (!fits)
    reader->status = gemma_fail(WEIR_E_SHAPE, "tensor %s has %" PRIu64 " x %" PRIu64 " elements, and the metadata of the "
                                "file ask for %u x %" PRIu64, name, tensor.dims[0],
                                tensor.dim_count > 1 ? tensor.dims[1] : UINT64_C(1), k, rows);
}

static void check_layer(reader *reader, const gemma_config *config, uint32_t layer) {
  char name[GEMMA_NAME_SIZE];
  for (int role = 0; role < GEMMA_ROLES; role++) {
    uint32_t n, k;
    gemma_role_shape(config, layer, (gemma_role)role, &n, &k);
    gemma_role_tensor(layer, (gemma_role)role, name);
    if (n) check_tensor(reader, name, n, k);
  }
  for (int norm = 0; norm < GEMMA_NORMS; norm++) {
    uint32_t size = gemma_norm_size(config, layer, (gemma_norm)norm);
    gemma_norm_tensor(layer, (gemma_norm)norm, name);
    if (size) check_tensor(reader, name, 0, size);
  }
}

static void check_tensors(reader *reader, const gemma_config *config) {
  check_tensor(reader, GEMMA_EMBEDDING_TENSOR, config->vocabulary, config->embedding);
  check_tensor(reader, GEMMA_OUTPUT_NORM_TENSOR, 0, config->embedding);
  if (!reader->status && has_tensor(reader, GEMMA_HEAD_TENSOR))
    check_tensor(reader, GEMMA_HEAD_TENSOR, config->vocabulary, config->embedding);
  for (uint32_t i = 0; i < config->layers && !reader->status; i++) check_layer(reader, config, i);
}

static void read_vocabulary(reader *reader, gemma_config *config) {
  weir_tensor tensor = {.struct_size = sizeof tensor};
  if (reader->status) return;
  reader->status = weir->gguf_find(reader->gguf, GEMMA_EMBEDDING_TENSOR, &tensor);
  if (reader->status) return;
  if (tensor.dim_count != 2 || tensor.dims[1] > VOCABULARY_MOST)
    reader->status = gemma_fail(WEIR_E_SHAPE, "tensor %s is no matrix of up to %d tokens", GEMMA_EMBEDDING_TENSOR,
                                VOCABULARY_MOST);
  else
    config->vocabulary = (uint32_t)tensor.dims[1];
}

/* What positions of layers that attend everything are multiplied with. */
static float stretched_scale(reader *reader) {
  char key[KEY_SIZE];
  const char *type;
  uint64_t length;
  float factor = real_or(reader, "rope.scaling.factor", 1, 1e6, 1);
  full_key(reader, "rope.scaling.type", key);
  if (reader->status || weir->gguf_string(reader->gguf, key, &type, &length)) return reader->status ? 1 : 1 / factor;
  if (length == strlen("none") && memcmp(type, "none", length) == 0) return 1;
  if (length != strlen("linear") || memcmp(type, "linear", length) != 0)
    reader->status = gemma_fail(WEIR_E_UNSUPPORTED, "the file says that %s is '%.*s'; this program knows 'linear' and 'none'",
                                key, length < 64 ? (int)length : 64, type);
  return 1 / factor;
}

/* ---- Gemma 3 ------------------------------------------------------------- */

static float gemma3_scale(reader *reader, const gemma_config *config, uint32_t head_dim) {
  enum { LAYERS_27B = 62 }; /* of the one model whose scale is not that of its heads' width */
  double width = config->layers == LAYERS_27B ? (double)config->embedding / config->q_heads : head_dim;
  return real_or(reader, "attention.scale", 1e-6, 1e6, 1 / sqrt(width));
}

static void read_gemma3(reader *reader, gemma_config *config) {
  uint32_t head_dim = number(reader, "attention.key_length", 8, 512);
  uint32_t value_dim = number_or(reader, "attention.value_length", 8, 512, head_dim);
  const bool has_flags = is_array(reader, "attention.sliding_window_pattern");
  uint32_t period = GEMMA3_PERIOD;
  float full_base = real_or(reader, "rope.freq_base", 1, 1e12, full_rope_base);
  float sliding_base = real_or(reader, "rope.freq_base_swa", 1, 1e12, sliding_rope_base);
  float scale = stretched_scale(reader);

  if (!has_flags) period = number_or(reader, "attention.sliding_window_pattern", 1, GEMMA_LAYERS_MOST, period);
  config->window = number(reader, "attention.sliding_window", 1, CONTEXT_MOST);
  if (reader->status) return;
  if (value_dim != head_dim) {
    reader->status = gemma_fail(WEIR_E_UNSUPPORTED, "the file has keys of %u and values of %u elements; this program "
                                "takes equal ones", head_dim, value_dim);
    return;
  }
  config->attention_scale = gemma3_scale(reader, config, head_dim);
  for (uint32_t i = 0; i < config->layers; i++) {
    bool is_sliding = has_flags ? number_of_layer(reader, "attention.sliding_window_pattern", i, 0, 1)
                                : i % period < period - 1;
    config->layer[i] = (gemma_layer){.is_sliding = is_sliding,
                                     .kv_heads = number_of_layer(reader, "attention.head_count_kv", i, 1, 1024),
                                     .head_dim = head_dim,
                                     .rope_base = is_sliding ? sliding_base : full_base,
                                     .rope_pairs = head_dim / 2,
                                     .rope_scale = is_sliding ? 1 : scale};
  }
}

/* ---- Gemma 4 ------------------------------------------------------------- */

/* How many pairs of a full layer rotate: those whose frequency is not divided by nearly infinity. */
static uint32_t rotating_pairs(reader *reader, uint32_t head_dim) {
  weir_tensor tensor = {.struct_size = sizeof tensor};
  uint32_t pairs = head_dim / 2, rotating = 0;
  if (reader->status || weir->gguf_find(reader->gguf, GEMMA_ROPE_TENSOR, &tensor)) return pairs;
  check_tensor(reader, GEMMA_ROPE_TENSOR, 0, pairs);
  float *factors = malloc(pairs * sizeof *factors);
  if (!reader->status && !factors) reader->status = gemma_fail(WEIR_E_NOMEM, "no memory for %u frequencies", pairs);
  if (!reader->status) reader->status = weir->tensor_rows(&tensor, 0, 1, factors);
  if (!reader->status) {
    while (rotating < pairs && factors[rotating] == 1) rotating++;
    for (uint32_t i = rotating; i < pairs && !reader->status; i++)
      if (!(factors[i] > not_rotated))
        reader->status = gemma_fail(WEIR_E_UNSUPPORTED, "tensor %s divides frequency %u by %g; this program knows 1 and, "
                                    "from some pair on, more than 1e10", GEMMA_ROPE_TENSOR, i, (double)factors[i]);
  }
  free(factors);
  return rotating;
}

static void refuse_variants(reader *reader) {
  static const struct {
    const char *key, *what;
  } unknown[] = {{"expert_count", "experts"},
                 {"embedding_length_per_layer_input", "embeddings of each layer"},
                 {"attention.shared_kv_layers", "layers that share K and V"}};
  for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
    if (number_or(reader, unknown[i].key, 0, UINT32_MAX, 0) > 0 && !reader->status)
      reader->status = gemma_fail(WEIR_E_UNSUPPORTED, "the model has %s (%s.%s), and this program runs dense Gemma models "
                                  "only", unknown[i].what, reader->architecture, unknown[i].key);
}

static void check_rotation(reader *reader, const char *key, uint32_t head_dim) {
  uint32_t rotated = number_or(reader, key, 1, 1024, head_dim);
  if (reader->status || rotated == head_dim) return;
  reader->status = gemma_fail(WEIR_E_UNSUPPORTED, "the file says that %s.%s is %u of %u elements; this program leaves out "
                              "rotations by %s only", reader->architecture, key, rotated, head_dim, GEMMA_ROPE_TENSOR);
}

static void read_gemma4(reader *reader, gemma_config *config) {
  uint32_t full_dim = number(reader, "attention.key_length", 8, 512);
  uint32_t sliding_dim = number_or(reader, "attention.key_length_swa", 8, 512, full_dim);
  uint32_t pairs = rotating_pairs(reader, full_dim);
  float full_base = real_or(reader, "rope.freq_base", 1, 1e12, full_rope_base);
  float sliding_base = real_or(reader, "rope.freq_base_swa", 1, 1e12, sliding_rope_base);
  float scale = stretched_scale(reader);

  refuse_variants(reader);
  check_rotation(reader, "rope.dimension_count", full_dim);
  check_rotation(reader, "rope.dimension_count_swa", sliding_dim);
  config->window = number(reader, "attention.sliding_window", 1, CONTEXT_MOST);
  config->attention_scale = 1;
  config->has_v_norm = true;
  config->has_layer_scale = !reader->status && has_tensor(reader, "blk.0.layer_output_scale.weight");
  for (uint32_t i = 0; i < config->layers && !reader->status; i++) {
    char name[GEMMA_NAME_SIZE];
    bool is_sliding = number_of_layer(reader, "attention.sliding_window_pattern", i, 0, 1);
    gemma_role_tensor(i, GEMMA_V, name);
    config->layer[i] = (gemma_layer){.is_sliding = is_sliding,
                                     .v_is_k = !has_tensor(reader, name),
                                     .kv_heads = number_of_layer(reader, "attention.head_count_kv", i, 1, 1024),
                                     .head_dim = is_sliding ? sliding_dim : full_dim,
                                     .rope_base = is_sliding ? sliding_base : full_base,
                                     .rope_pairs = is_sliding ? sliding_dim / 2 : pairs,
                                     .rope_scale = is_sliding ? 1 : scale};
  }
}

/* ---- The whole ----------------------------------------------------------- */

static weir_status read_architecture(reader *reader, gemma_config *config) {
  const char *text;
  uint64_t length;
  weir_status status = weir->gguf_string(reader->gguf, "general.architecture", &text, &length);
  if (status) return status;
  snprintf(config->architecture, sizeof config->architecture, "%.*s", length < 16 ? (int)length : 15, text);
  reader->architecture = config->architecture;
  if (strcmp(config->architecture, "gemma3") != 0 && strcmp(config->architecture, "gemma4") != 0)
    return gemma_fail(WEIR_E_UNSUPPORTED, "the file holds a model of architecture '%.*s'; this program runs gemma3 and "
                      "gemma4", length < 64 ? (int)length : 64, text);
  if (weir->gguf_string(reader->gguf, "general.name", &text, &length) == WEIR_OK)
    snprintf(config->name, sizeof config->name, "%.*s", length < 63 ? (int)length : 63, text);
  return WEIR_OK;
}

static void check_heads(reader *reader, const gemma_config *config) {
  for (uint32_t i = 0; i < config->layers && !reader->status; i++)
    if (config->q_heads % config->layer[i].kv_heads != 0 || config->layer[i].head_dim % 8 != 0)
      reader->status = gemma_fail(WEIR_E_SHAPE, "layer %u has %u query heads, %u KV heads and %u elements a head; the "
                                  "first must be a multiple of the second and the last of 8", i, config->q_heads,
                                  config->layer[i].kv_heads, config->layer[i].head_dim);
}

weir_status gemma_config_read(const weir_gguf *gguf, gemma_config *out_config) {
  gemma_config *config = out_config;
  reader reader = {.gguf = gguf};

  *config = (gemma_config){.name = "Gemma"};
  reader.status = read_architecture(&reader, config);
  config->layers = number(&reader, "block_count", 1, GEMMA_LAYERS_MOST);
  config->embedding = number(&reader, "embedding_length", 32, WIDTH_MOST);
  config->feed_forward = number_of_layer(&reader, "feed_forward_length", 0, 32, WIDTH_MOST);
  config->q_heads = number(&reader, "attention.head_count", 1, 1024);
  config->context = number(&reader, "context_length", 1, CONTEXT_MOST);
  config->norm_epsilon = real_or(&reader, "attention.layer_norm_rms_epsilon", 0, 1, 1e-6);
  config->final_softcap = real_or(&reader, "final_logit_softcapping", 0, 1e6, 0);
  read_vocabulary(&reader, config);
  if (!reader.status && strcmp(config->architecture, "gemma3") == 0) read_gemma3(&reader, config);
  else if (!reader.status) read_gemma4(&reader, config);
  check_heads(&reader, config);
  check_tensors(&reader, config);
  return reader.status;
}

/* ---- By name ------------------------------------------------------------- */

typedef struct shape {
  const char *word;
  gemma_config config;
  uint32_t period; /* every so many layers a full one */
  gemma_layer sliding, full;
} shape;

static const shape shapes[] = {
  {"gemma3-270m",
   {.architecture = "gemma3", .name = "Synthetic Gemma 3 270M", .layers = 18, .embedding = 640, .feed_forward = 2048,
    .vocabulary = 262144, .q_heads = 4, .window = 512, .context = 32768, .norm_epsilon = 1e-6f,
    .attention_scale = 1.0f / 16},
   6,
   {.is_sliding = true, .kv_heads = 1, .head_dim = 256, .rope_base = 1e4f, .rope_pairs = 128, .rope_scale = 1},
   {.kv_heads = 1, .head_dim = 256, .rope_base = 1e6f, .rope_pairs = 128, .rope_scale = 1}},
  {"gemma4-31b",
   {.architecture = "gemma4", .name = "Synthetic Gemma 4 31B", .layers = 60, .embedding = 5376, .feed_forward = 21504,
    .vocabulary = 262144, .q_heads = 32, .window = 1024, .context = 131072, .norm_epsilon = 1e-6f,
    .attention_scale = 1, .final_softcap = 30, .has_v_norm = true, .has_layer_scale = true},
   6,
   {.is_sliding = true, .kv_heads = 16, .head_dim = 256, .rope_base = 1e4f, .rope_pairs = 128, .rope_scale = 1},
   {.v_is_k = true, .kv_heads = 4, .head_dim = 512, .rope_base = 1e6f, .rope_pairs = 64, .rope_scale = 1}},
  {"tiny",
   {.architecture = "gemma4", .name = "Synthetic tiny", .layers = 2, .embedding = 128, .feed_forward = 256,
    .vocabulary = 512, .q_heads = 4, .window = 16, .context = 256, .norm_epsilon = 1e-6f, .attention_scale = 0.25f,
    .final_softcap = 30, .has_v_norm = true, .has_layer_scale = true},
   2,
   {.is_sliding = true, .kv_heads = 2, .head_dim = 64, .rope_base = 1e4f, .rope_pairs = 32, .rope_scale = 1},
   {.v_is_k = true, .kv_heads = 1, .head_dim = 128, .rope_base = 1e6f, .rope_pairs = 16, .rope_scale = 1}},
};

weir_status gemma_config_named(const char *name, gemma_config *out_config) {
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    const shape *shape = &shapes[i];
    if (strcmp(shape->word, name) != 0) continue;
    *out_config = shape->config;
    for (uint32_t layer = 0; layer < out_config->layers; layer++)
      out_config->layer[layer] = layer % shape->period < shape->period - 1 ? shape->sliding : shape->full;
    return WEIR_OK;
  }
  return gemma_fail(WEIR_E_NOTFOUND, "there is no synthetic model '%s'; there are gemma3-270m, gemma4-31b and tiny", name);
}
