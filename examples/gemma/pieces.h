/* SPDX-License-Identifier: MIT */

/* pieces.h: pieces of a vocabulary by their text, and merges by the two pieces they join. */
#ifndef GEMMA_PIECES_H
#define GEMMA_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gemma_piece_slot {
  const char *text; /* null: empty */
  uint32_t bytes;
  int32_t token;
} gemma_piece_slot;

/* Zeroed: without memory, holds nothing, finds nothing. Texts are referred to, not copied. */
typedef struct gemma_pieces {
  gemma_piece_slot *slot;
  uint64_t mask;
  uint32_t longest[256]; /* bytes of the longest piece that begins with this byte */
} gemma_pieces;

/* Room for `most` pieces; false when there is no memory. */
bool gemma_pieces_open(gemma_pieces *pieces, uint32_t most);
void gemma_pieces_close(gemma_pieces *pieces);
/* Of equal texts the later stays. An empty text is left out. */
void gemma_pieces_put(gemma_pieces *pieces, const char *text, uint32_t bytes, int32_t token);
/* -1: there is none. */
int32_t gemma_pieces_find(const gemma_pieces *pieces, const char *text, size_t bytes);
/* The longest piece that `text` begins with; -1: none does. */
int32_t gemma_pieces_begin(const gemma_pieces *pieces, const char *text, size_t bytes, uint32_t *out_bytes);

typedef struct gemma_merge {
  int32_t left, right, token;
  int32_t rank; /* 0 is made first; -1: empty */
} gemma_merge;

typedef struct gemma_merges {
  gemma_merge *slot;
  uint64_t mask;
} gemma_merges;

bool gemma_merges_open(gemma_merges *merges, uint32_t most);
void gemma_merges_close(gemma_merges *merges);
/* Of equal pairs the earlier stays. */
void gemma_merges_put(gemma_merges *merges, gemma_merge merge);
/* Null: these two do not join. */
const gemma_merge *gemma_merges_find(const gemma_merges *merges, int32_t left, int32_t right);

#endif
