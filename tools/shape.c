/* SPDX-License-Identifier: MIT */
#include "shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suggest.h"

#define COUNT(table) (sizeof table / sizeof table[0])

static const model_matrix gemma4_31b[] = {
  {"q sliding", 8192, 5376, 50, 50},  {"k,v sliding", 4096, 5376, 100, 0}, {"o sliding", 5376, 8192, 50, 50},
  {"q full", 16384, 5376, 10, 10},    {"k full", 2048, 5376, 10, 0},       {"o full", 5376, 16384, 10, 10},
  {"gate,up", 21504, 5376, 120, 60},  {"down", 5376, 21504, 60, 60},       {"lm_head", 262144, 5376, 1, 1},
};
static const model_attention gemma4_31b_attention[] = {
  {"sdpa sliding", 32, 16, 256, 1024, 50},
  {"sdpa full", 32, 4, 512, 0, 10},
};

static const model_matrix gemma3_270m[] = {
  {"q", 1024, 640, 18, 18},       {"k,v", 256, 640, 36, 0},    {"o", 640, 1024, 18, 18},
  {"gate,up", 2048, 640, 36, 18}, {"down", 640, 2048, 18, 18}, {"lm_head", 262144, 640, 1, 1},
};
static const model_attention gemma3_270m_attention[] = {
  {"sdpa sliding", 4, 1, 256, 512, 15},
  {"sdpa full", 4, 1, 256, 0, 3},
};

static const model_matrix llama_8b[] = {
  {"q", 4096, 4096, 32, 32},        {"k,v", 1024, 4096, 64, 0},     {"o", 4096, 4096, 32, 32},
  {"gate,up", 14336, 4096, 64, 32}, {"down", 4096, 14336, 32, 32}, {"lm_head", 128256, 4096, 1, 1},
};
static const model_attention llama_8b_attention[] = {
  {"sdpa", 32, 8, 128, 0, 32},
};

/* 10 full-attention and 30 linear-attention layers; of 256 experts 8 serve a
 * token, and their first matrices read one input, their second ones each another. */
static const model_matrix qwen_moe[] = {
  {"qkv full", 9216, 2048, 10, 10},      {"o full", 2048, 4096, 10, 10},      {"in_proj linear", 12352, 2048, 30, 30},
  {"out linear", 2048, 4096, 30, 30},    {"router", 256, 2048, 40, 40},       {"shared gate,up", 1024, 2048, 40, 0},
  {"shared down", 2048, 512, 40, 40},    {"expert gate,up", 1024, 2048, 320, 0}, {"expert down", 2048, 512, 320, 320},
  {"lm_head", 248320, 2048, 1, 1},
};
static const model_attention qwen_moe_attention[] = {
  {"sdpa full", 16, 2, 256, 0, 10},
};

const model_shape model_shapes[] = {
  {"gemma4-31b", gemma4_31b, COUNT(gemma4_31b), gemma4_31b_attention, COUNT(gemma4_31b_attention)},
  {"gemma3-270m", gemma3_270m, COUNT(gemma3_270m), gemma3_270m_attention, COUNT(gemma3_270m_attention)},
  {"llama-8b", llama_8b, COUNT(llama_8b), llama_8b_attention, COUNT(llama_8b_attention)},
  {"qwen-moe", qwen_moe, COUNT(qwen_moe), qwen_moe_attention, COUNT(qwen_moe_attention)},
};
const size_t model_shape_count = COUNT(model_shapes);

const model_shape *model_shape_find(const char *name) {
  for (size_t i = 0; i < model_shape_count; i++)
    if (strcmp(model_shapes[i].name, name) == 0) return &model_shapes[i];
  return NULL;
}

/* `least`..`most` whole numbers of 1..2^31-1 with `separator` between them; 0
 * when the text is anything else. */
static int parse_list(const char *text, char separator, int least, int most, uint32_t *out) {
  int count = 0;
  for (;;) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= INT32_MAX; at++) value = value * 10 + (uint64_t)(*at - '0');
    if (at == text || value == 0 || value > INT32_MAX || count == most) return 0;
    out[count++] = (uint32_t)value;
    if (*at == '\0') return count >= least ? count : 0;
    if (*at != separator) return 0;
    text = at + 1;
  }
}

bool shape_parse_matvec(const char *text, uint32_t *out_n, uint32_t *out_k, uint32_t *out_m, char *error,
                        size_t error_size) {
  uint32_t value[3];
  int count = parse_list(text, ',', 2, 3, value);
  if (!count) {
    snprintf(error, error_size,
             "shape \"%s\" is not N,K or N,K,M with whole numbers from 1, such as 4096,4096 (outputs, inputs, rows)",
             text);
    return false;
  }
  *out_n = value[0];
  *out_k = value[1];
  if (count == 3) *out_m = value[2];
  return true;
}

bool shape_parse_sdpa(const char *text, uint32_t *out_q_heads, uint32_t *out_kv_heads, uint32_t *out_head_dim,
                      uint32_t *out_kv_len, char *error, size_t error_size) {
  uint32_t value[4];
  if (!parse_list(text, ':', 4, 4, value)) {
    snprintf(error, error_size,
             "shape \"%s\" is not HQ:HKV:D:LEN with whole numbers from 1, such as 32:8:128:4096 "
             "(query heads, KV heads, head dimension, KV length)",
             text);
    return false;
  }
  *out_q_heads = value[0];
  *out_kv_heads = value[1];
  *out_head_dim = value[2];
  *out_kv_len = value[3];
  return true;
}

static const sdpa_shape sdpa_shapes[] = {
  {"gemma-sliding", 32, 16, 256, 0},
  {"gemma-full", 32, 4, 512, 0},
  {"qwen", 16, 2, 256, 0},
  {"d128", 32, 16, 128, 0},
};

/* The part of a list that starts at *at, in `out`; *at moves behind its comma, or to
 * null after the last part. */
static void take_part(const char **at, char *out, size_t size) {
  size_t length = strcspn(*at, ",");
  snprintf(out, size, "%.*s", (int)length, *at);
  *at = (*at)[length] == ',' ? *at + length + 1 : NULL;
}

static bool parse_sdpa_part(const char *text, sdpa_shape *out, char *error, size_t error_size) {
  const char *names[COUNT(sdpa_shapes) + 1] = {"all"}, *near;
  uint32_t value[4];
  int count = parse_list(text, ':', 3, 4, value);

  for (size_t i = 0; i < COUNT(sdpa_shapes); i++) {
    names[i + 1] = sdpa_shapes[i].name;
    if (strcmp(text, sdpa_shapes[i].name) != 0) continue;
    *out = sdpa_shapes[i];
    return true;
  }
  if (count && value[0] % value[1] == 0) {
    *out = (sdpa_shape){.q_heads = value[0], .kv_heads = value[1], .head_dim = value[2]};
    snprintf(out->name, sizeof out->name, "%u:%u:%u", value[0], value[1], value[2]);
    if (count == 4) out->kv_len = value[3];
    return true;
  }
  near = count ? NULL : suggest_nearest(text, names, COUNT(names));
  if (count)
    snprintf(error, error_size, "--sdpa %s: %u query heads are not a multiple of %u KV heads", text, value[0],
             value[1]);
  else
    snprintf(error, error_size,
             "--sdpa \"%s\" is not gemma-sliding, gemma-full, qwen, d128 or all, and not HQ:HKV:D or HQ:HKV:D:LEN with "
             "whole numbers from 1, such as 32:8:128 (query heads, KV heads, head dimension)%s%s%s",
             text, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
  return false;
}

size_t shape_parse_sdpa_list(const char *text, sdpa_shape *out_shapes, size_t most, char *error, size_t error_size) {
  size_t used = 0;
  while (text) {
    char part[64];
    size_t wanted;
    take_part(&text, part, sizeof part);
    wanted = strcmp(part, "all") == 0 ? COUNT(sdpa_shapes) : 1;
    if (used + wanted > most) {
      snprintf(error, error_size, "--sdpa: more than %zu shapes; measure them in several runs", most);
      return 0;
    }
    if (wanted > 1) memcpy(out_shapes + used, sdpa_shapes, sizeof sdpa_shapes);
    else if (!parse_sdpa_part(part, &out_shapes[used], error, error_size)) return 0;
    used += wanted;
  }
  return used;
}

size_t shape_parse_lengths(const char *text, uint32_t *out_lengths, size_t most, char *error, size_t error_size) {
  size_t used = 0;
  while (text) {
    char part[64], *dots;
    uint32_t from, to;
    take_part(&text, part, sizeof part);
    dots = strstr(part, "..");
    if (dots) *dots = '\0';
    if (!parse_list(part, ',', 1, 1, &from) || !parse_list(dots ? dots + 2 : part, ',', 1, 1, &to) || to < from) {
      snprintf(error, error_size, "--kv \"%s%s%s\" is neither a number from 1 nor a range such as 64..131072", part,
               dots ? ".." : "", dots ? dots + 2 : "");
      return 0;
    }
    for (uint64_t length = from; length <= to; length *= 2) {
      if (used == most) {
        snprintf(error, error_size, "--kv: more than %zu lengths; measure them in several runs", most);
        return 0;
      }
      out_lengths[used++] = (uint32_t)length;
    }
  }
  return used;
}
