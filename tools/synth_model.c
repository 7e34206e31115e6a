/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "synth.h"

enum { ALIGNMENT = 32, KEYS = 28 + SYNTH_VOCABULARY_KEYS, NAME_SIZE = 64 };

struct tensor {
  char name[NAME_SIZE];
  enum synth_type type;
  uint32_t k, n; /* n = 0: a vector */
};

/* ---- Tensors, in the order of the files that llama.cpp quantises to Q4_K_M ---- */

/* Q4_K_M gives these blocks' values and down projections more bits. */
static bool more_bits(uint32_t block, uint32_t blocks) {
  uint32_t eighth = blocks / 8;
  return block < eighth || block >= 7 * blocks / 8 || (block - eighth) % 3 == 2;
}

/* Rows that are no multiple of 256 fall back to the next larger type of 32s. */
static enum synth_type matrix_type(uint32_t k, bool more) {
  if (k % 256 == 0) return more ? SYNTH_Q6_K : SYNTH_Q4_K;
  return more ? SYNTH_Q8_0 : SYNTH_Q5_0;
}

static uint32_t list_tensors(const struct synth_model *m, struct tensor *out_tensors) {
  uint32_t count = 0, q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim, e = m->embedding;
  out_tensors[count++] = (struct tensor){"output_norm.weight", SYNTH_F32, e, 0};
  out_tensors[count++] = (struct tensor){"token_embd.weight", SYNTH_Q8_0, e, m->vocabulary};
  for (uint32_t block = 0; block < m->blocks; block++) {
    const bool more = more_bits(block, m->blocks);
    const struct {
      const char *name;
      uint32_t k, n;
      bool more;
    } parts[] = {
        {"attn_k", e, kv, false},
        {"attn_k_norm", m->head_dim, 0, false},
        {"attn_norm", e, 0, false},
        {"attn_output", q, e, false},
        {"attn_q", e, q, false},
        {"attn_q_norm", m->head_dim, 0, false},
        {"attn_v", e, kv, more},
        {"ffn_down", m->feed_forward, e, more},
        {"ffn_gate", e, m->feed_forward, false},
        {"ffn_norm", e, 0, false},
        {"ffn_up", e, m->feed_forward, false},
        {"post_attention_norm", e, 0, false},
        {"post_ffw_norm", e, 0, false},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
      struct tensor *tensor = &out_tensors[count++];
      snprintf(tensor->name, sizeof tensor->name, "blk.%u.%s.weight", block, parts[i].name);
      tensor->k = parts[i].k;
      tensor->n = parts[i].n;
      tensor->type = parts[i].n ? matrix_type(parts[i].k, parts[i].more) : SYNTH_F32;
    }
  }
  return count;
}

static uint64_t row_blocks(const struct tensor *tensor) { return tensor->k / synth_block_weights(tensor->type); }

static uint64_t tensor_bytes(const struct tensor *tensor) {
  return row_blocks(tensor) * synth_block_bytes(tensor->type) * (tensor->n ? tensor->n : 1);
}

/* ---- The file ---- */

static void put_metadata(struct synth_file *file, const struct synth_model *m) {
  synth_put_string(file, "general.architecture", "gemma3");
  synth_put_string(file, "general.type", "model");
  synth_put_string(file, "general.name", m->name);
  synth_put_string(file, "general.size_label", m->size_label);
  synth_put_string(file, "general.description", "random weights in the shape of a real model, by weir synth");
  synth_put_u32(file, "gemma3.context_length", m->context);
  synth_put_u32(file, "gemma3.embedding_length", m->embedding);
  synth_put_u32(file, "gemma3.block_count", m->blocks);
  synth_put_u32(file, "gemma3.feed_forward_length", m->feed_forward);
  synth_put_u32(file, "gemma3.attention.head_count", m->heads);
  synth_put_f32(file, "gemma3.attention.layer_norm_rms_epsilon", 1e-6f);
  synth_put_u32(file, "gemma3.attention.key_length", m->head_dim);
  synth_put_u32(file, "gemma3.attention.value_length", m->head_dim);
  synth_put_f32(file, "gemma3.rope.freq_base", 1e6f);
  synth_put_u32(file, "gemma3.attention.sliding_window", m->window);
  synth_put_u32(file, "gemma3.attention.head_count_kv", m->kv_heads);
  synth_put_string(file, "tokenizer.ggml.model", "llama");
  synth_put_string(file, "tokenizer.ggml.pre", "default");
  synth_put_vocabulary(file, m->vocabulary);
  synth_put_u32(file, "tokenizer.ggml.bos_token_id", 2);
  synth_put_u32(file, "tokenizer.ggml.eos_token_id", 1);
  synth_put_u32(file, "tokenizer.ggml.unknown_token_id", 3);
  synth_put_u32(file, "tokenizer.ggml.padding_token_id", 0);
  synth_put_bool(file, "tokenizer.ggml.add_bos_token", true);
  synth_put_bool(file, "tokenizer.ggml.add_sep_token", false);
  synth_put_bool(file, "tokenizer.ggml.add_eos_token", false);
  synth_put_bool(file, "tokenizer.ggml.add_space_prefix", false);
  synth_put_u32(file, "general.quantization_version", 2);
  synth_put_u32(file, "general.file_type", 15); /* mostly Q4_K, the M mix */
}

static void put_data(struct synth_file *file, const struct tensor *tensor, uint64_t seed, uint8_t *row) {
  struct rng rng;
  uint64_t blocks = row_blocks(tensor);
  double rms = tensor->n ? 1 / sqrt(tensor->k) : 1;
  rng_seed(&rng, rng_seed_of(seed, tensor->name));
  for (uint32_t n = 0; n < (tensor->n ? tensor->n : 1) && !file->error; n++) {
    synth_fill(&rng, tensor->type, rms, blocks, row);
    synth_put(file, row, (size_t)(blocks * synth_block_bytes(tensor->type)));
  }
}

bool synth_write(struct synth_file *file, const struct synth_model *model, uint64_t seed, uint32_t *out_tensors) {
  enum { PER_BLOCK = 13, OUTSIDE = 2 };
  uint32_t widest = model->embedding > model->feed_forward ? model->embedding : model->feed_forward;
  if (model->heads * model->head_dim > widest) widest = model->heads * model->head_dim;
  struct tensor *tensors = calloc(OUTSIDE + (size_t)PER_BLOCK * model->blocks, sizeof *tensors);
  uint8_t *row = malloc((size_t)widest * sizeof(float));
  bool done = false;
  *out_tensors = 0;
  if (!tensors || !row) goto out;
  uint32_t count = list_tensors(model, tensors);

  synth_put(file, "GGUF", 4);
  synth_put_number(file, 3, 4);
  synth_put_number(file, count, 8);
  synth_put_number(file, KEYS, 8);
  put_metadata(file, model);
  uint64_t offset = 0;
  for (uint32_t i = 0; i < count; i++) {
    synth_put_text(file, tensors[i].name);
    synth_put_number(file, tensors[i].n ? 2 : 1, 4);
    synth_put_number(file, tensors[i].k, 8);
    if (tensors[i].n) synth_put_number(file, tensors[i].n, 8);
    synth_put_number(file, tensors[i].type, 4);
    synth_put_number(file, offset, 8);
    offset += (tensor_bytes(&tensors[i]) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }
  for (uint32_t i = 0; i < count; i++) {
    synth_pad(file, ALIGNMENT);
    put_data(file, &tensors[i], seed, row);
  }
  synth_pad(file, ALIGNMENT);
  *out_tensors = count;
  done = !file->error;
out:
  free(row);
  free(tensors);
  return done;
}
