/* SPDX-License-Identifier: MIT */

/* What the files of `weir synth` share. */
#ifndef SYNTH_H
#define SYNTH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "rng.h"

/* GGUF's numbers of the tensor types that a synthetic model uses. */
enum synth_type { SYNTH_F32 = 0, SYNTH_Q5_0 = 6, SYNTH_Q8_0 = 8, SYNTH_Q4_K = 12, SYNTH_Q6_K = 14 };

/* ---- synth_blocks.c ---- */
uint64_t synth_block_weights(enum synth_type type); /* weights that share a block */
uint64_t synth_block_bytes(enum synth_type type);
/* Fills `count` blocks with weights of mean 0 and about this root mean square;
 * SYNTH_F32 gives weights from 0.5 to 1.5 times it instead, as norms have. */
void synth_fill(struct rng *rng, enum synth_type type, double rms, uint64_t count, uint8_t *out_blocks);

/* ---- synth_file.c: little-endian numbers into a file ---- */
struct synth_file {
  FILE *stream;
  uint64_t size;
  int error; /* errno of the first failure */
};
void synth_put(struct synth_file *file, const void *bytes, size_t size);
void synth_put_number(struct synth_file *file, uint64_t value, size_t bytes);
void synth_put_text(struct synth_file *file, const char *text);
void synth_pad(struct synth_file *file, uint64_t alignment);
/* A metadata key and its value; arrays are followed by `count` elements. */
void synth_put_u32(struct synth_file *file, const char *key, uint32_t value);
void synth_put_f32(struct synth_file *file, const char *key, float value);
void synth_put_bool(struct synth_file *file, const char *key, bool value);
void synth_put_string(struct synth_file *file, const char *key, const char *value);
enum { SYNTH_ARRAY_I32 = 5, SYNTH_ARRAY_F32 = 6, SYNTH_ARRAY_STRING = 8 };
void synth_put_array(struct synth_file *file, const char *key, uint32_t element, uint64_t count);

/* ---- synth_vocabulary.c ---- */
/* Five special tokens, 256 bytes, the printable ASCII characters, then words. */
enum { SYNTH_VOCABULARY_LEAST = 5 + 256 + 95 };
enum { SYNTH_VOCABULARY_KEYS = 3 };
void synth_put_vocabulary(struct synth_file *file, uint32_t count);

/* ---- synth_model.c ---- */
struct synth_model {
  const char *word;  /* on the command line */
  const char *name, *size_label;
  uint32_t context, embedding, blocks, feed_forward, heads, kv_heads, head_dim, window, vocabulary;
};
/* Writes the whole file. False: file->error is set, or memory ran out if it is 0. */
bool synth_write(struct synth_file *file, const struct synth_model *model, uint64_t seed, uint32_t *out_tensors);

#endif
