/* SPDX-License-Identifier: MIT */

/* vocabulary.h: the inside of a tokenizer: what tokenizer.c reads and tokenize.c uses. */
#ifndef GEMMA_VOCABULARY_H
#define GEMMA_VOCABULARY_H

#include "pieces.h"
#include "tokenizer.h"

/* What stands for a space inside pieces: U+2581. */
#define GEMMA_SPACE "\xe2\x96\x81"

enum { GEMMA_SPACE_BYTES = 3 };

/* tokenizer.ggml.token_type */
enum {
  GEMMA_NORMAL = 1,
  GEMMA_UNKNOWN = 2,
  GEMMA_CONTROL = 3,
  GEMMA_USER_DEFINED = 4,
  GEMMA_UNUSED = 5,
  GEMMA_BYTE = 6
};

typedef struct gemma_piece {
  const char *name; /* as the file spells it */
  const char *text; /* what it stands for */
  uint32_t name_bytes, text_bytes;
  float score;
  int32_t type;
} gemma_piece;

struct gemma_tokenizer {
  uint32_t count;
  gemma_piece *piece;
  char *texts;          /* of the pieces whose text is not their name */
  bool by_rank;         /* "gemma4": merges have ranks; else the score of what they make decides */
  gemma_pieces mergeable; /* by name: normal and user-defined */
  gemma_pieces whole;     /* by text: user-defined */
  gemma_pieces control;   /* by text */
  gemma_merges merges;    /* of by_rank */
  int32_t byte_token[256];
  int32_t bos, eos, eot; /* -1: none */
  int32_t turn_end;      /* "<end_of_turn>" or "<turn|>"; -1: none */
  bool adds_bos, adds_space;
};

#endif
