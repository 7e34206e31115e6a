/* SPDX-License-Identifier: MIT */

/* gemma_tiny FILE [ARCHITECTURE [SEED]]: a GGUF file of two layers with random weights, and a vocabulary of
 * single letters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_bytes.h"

enum { WIDTH = 64, FEED_FORWARD = 96, Q_HEADS = 2, KV_HEADS = 1, HEAD_DIM = 32, LAYERS = 2, CONTEXT = 48, WINDOW = 16 };
enum { PAD, EOS, BOS, UNKNOWN, BYTES, LETTERS = BYTES + 256, VOCABULARY = LETTERS + 28 };
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_BYTE = 6, TYPE_F32 = 0, ALIGNMENT = 32, KEYS = 18 };

typedef struct tensor {
  char name[64];
  uint64_t k, n; /* n 0: a vector */
} tensor;

static tensor tensors[64];
static uint32_t count;

static void add(const char *name, uint64_t n, uint64_t k) {
  tensor *next = &tensors[count++];
  snprintf(next->name, sizeof next->name, "%s.weight", name);
  next->n = n;
  next->k = k;
}

static void add_of_layer(int layer, const char *name, uint64_t n, uint64_t k) {
  char full[48];
  snprintf(full, sizeof full, "blk.%d.%s", layer, name);
  add(full, n, k);
}

static void list_tensors(void) {
  add("token_embd", VOCABULARY, WIDTH);
  add("output_norm", 0, WIDTH);
  for (int i = 0; i < LAYERS; i++) {
    add_of_layer(i, "attn_q", Q_HEADS * HEAD_DIM, WIDTH);
    add_of_layer(i, "attn_k", KV_HEADS * HEAD_DIM, WIDTH);
    add_of_layer(i, "attn_v", KV_HEADS * HEAD_DIM, WIDTH);
    add_of_layer(i, "attn_output", WIDTH, Q_HEADS * HEAD_DIM);
    add_of_layer(i, "ffn_gate", FEED_FORWARD, WIDTH);
    add_of_layer(i, "ffn_up", FEED_FORWARD, WIDTH);
    add_of_layer(i, "ffn_down", WIDTH, FEED_FORWARD);
    add_of_layer(i, "attn_norm", 0, WIDTH);
    add_of_layer(i, "attn_q_norm", 0, HEAD_DIM);
    add_of_layer(i, "attn_k_norm", 0, HEAD_DIM);
    add_of_layer(i, "post_attention_norm", 0, WIDTH);
    add_of_layer(i, "ffn_norm", 0, WIDTH);
    add_of_layer(i, "post_ffw_norm", 0, WIDTH);
  }
}

static uint64_t elements(const tensor *tensor) { return tensor->k * (tensor->n ? tensor->n : 1); }

static uint64_t aligned(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static void put_float(buffer *b, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_number(b, bits, 4);
}

static void put_u32(buffer *b, const char *prefix, const char *name, uint32_t value) {
  char key[96];
  snprintf(key, sizeof key, "%s.%s", prefix, name);
  put_key(b, key, U32);
  put_number(b, value, 4);
}

static const char *piece(int token, char out[8]) {
  static const char *const first[] = {"<pad>", "<eos>", "<bos>", "<unk>"};
  if (token < BYTES) return first[token];
  if (token < LETTERS) snprintf(out, 8, "<0x%02X>", (unsigned)(token - BYTES));
  else if (token == VOCABULARY - 1) return "\xe2\x96\x81";
  else if (token == VOCABULARY - 2) return "\n";
  else snprintf(out, 8, "%c", 'a' + token - LETTERS);
  return out;
}

static void put_vocabulary(buffer *b) {
  char text[8];
  put_key(b, "tokenizer.ggml.model", STRING), put_text(b, "llama");
  put_array(b, "tokenizer.ggml.tokens", STRING, VOCABULARY);
  for (int i = 0; i < VOCABULARY; i++) put_text(b, piece(i, text));
  put_array(b, "tokenizer.ggml.scores", F32, VOCABULARY);
  for (int i = 0; i < VOCABULARY; i++) put_number(b, 0, 4);
  put_array(b, "tokenizer.ggml.token_type", I32, VOCABULARY);
  for (int i = 0; i < VOCABULARY; i++)
    put_number(b, i >= LETTERS ? TYPE_NORMAL : i >= BYTES ? TYPE_BYTE : i == UNKNOWN ? TYPE_UNKNOWN : TYPE_CONTROL, 4);
  put_u32(b, "tokenizer.ggml", "bos_token_id", BOS);
  put_u32(b, "tokenizer.ggml", "eos_token_id", EOS);
  put_key(b, "tokenizer.ggml.add_space_prefix", BOOL), put_number(b, 0, 1);
}

static void put_shape(buffer *b, const char *architecture) {
  put_key(b, "general.architecture", STRING), put_text(b, architecture);
  put_u32(b, architecture, "context_length", CONTEXT);
  put_u32(b, architecture, "embedding_length", WIDTH);
  put_u32(b, architecture, "block_count", LAYERS);
  put_u32(b, architecture, "feed_forward_length", FEED_FORWARD);
  put_u32(b, architecture, "attention.head_count", Q_HEADS);
  put_u32(b, architecture, "attention.head_count_kv", KV_HEADS);
  put_u32(b, architecture, "attention.key_length", HEAD_DIM);
  put_u32(b, architecture, "attention.value_length", HEAD_DIM);
  put_u32(b, architecture, "attention.sliding_window", WINDOW);
  put_u32(b, architecture, "attention.sliding_window_pattern", 2);
}

/* Matrices about 0, norms about 1. */
static void put_values(buffer *b, const tensor *tensor, uint32_t *seed) {
  uint32_t random = *seed;
  for (uint64_t i = 0; i < elements(tensor); i++) {
    random = random * 1664525u + 1013904223u;
    float value = (float)(random >> 8) / (1 << 23) - 1;
    put_float(b, tensor->n ? 0.2f * value : 1 + 0.25f * value);
  }
  *seed = random;
  put_padding(b, ALIGNMENT);
}

int main(int argc, char **argv) {
  buffer b = {0};
  uint64_t offset = 0;
  uint32_t seed = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;
  if (argc < 2) return 2;
  list_tensors();
  put_header(&b, 3, count, KEYS);
  put_shape(&b, argc > 2 ? argv[2] : "gemma3");
  put_vocabulary(&b);
  for (uint32_t i = 0; i < count; i++) {
    put_tensor(&b, tensors[i].name, tensors[i].n ? 2 : 1, DIMS(tensors[i].k, tensors[i].n), TYPE_F32, offset);
    offset += aligned(4 * elements(&tensors[i]));
  }
  put_padding(&b, ALIGNMENT);
  for (uint32_t i = 0; i < count; i++) put_values(&b, &tensors[i], &seed);
  FILE *file = fopen(argv[1], "wb");
  int failed = !file || fwrite(b.data, 1, b.size, file) != b.size;
  if (file && fclose(file)) failed = 1;
  free(b.data);
  if (failed) perror(argv[1]);
  return failed;
}
