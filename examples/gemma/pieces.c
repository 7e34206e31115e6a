/* SPDX-License-Identifier: MIT */
#include "pieces.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a: the hash of a text is one step from that of the text without its last byte. */
static const uint64_t hash_start = UINT64_C(0xcbf29ce484222325), hash_factor = UINT64_C(0x100000001b3);

static uint64_t hash_step(uint64_t hash, char byte) { return (hash ^ (uint8_t)byte) * hash_factor; }

static uint64_t hash_end(uint64_t hash) { return hash ^ hash >> 32; }

static uint64_t hash_text(const char *text, size_t bytes) {
  uint64_t hash = hash_start;
  for (size_t i = 0; i < bytes; i++) hash = hash_step(hash, text[i]);
  return hash_end(hash);
}

/* A power of two, at least twice `most`. */
static uint64_t slots_for(uint32_t most) {
  uint64_t slots = 16;
  while (slots < 2 * (uint64_t)most) slots *= 2;
  return slots;
}

/* ---- Pieces ---- */

bool gemma_pieces_open(gemma_pieces *pieces, uint32_t most) {
  uint64_t slots = slots_for(most);
  memset(pieces, 0, sizeof *pieces);
  pieces->slot = calloc(slots, sizeof *pieces->slot);
  pieces->mask = slots - 1;
  return pieces->slot != NULL;
}

void gemma_pieces_close(gemma_pieces *pieces) {
  free(pieces->slot);
  memset(pieces, 0, sizeof *pieces);
}

/* The slot that has this text, or the empty one where it belongs. */
static gemma_piece_slot *piece_slot(const gemma_pieces *pieces, uint64_t hash, const char *text, size_t bytes) {
  for (uint64_t i = hash & pieces->mask;; i = (i + 1) & pieces->mask) {
    gemma_piece_slot *slot = &pieces->slot[i];
    if (!slot->text || (slot->bytes == bytes && memcmp(slot->text, text, bytes) == 0)) return slot;
  }
}

void gemma_pieces_put(gemma_pieces *pieces, const char *text, uint32_t bytes, int32_t token) {
  if (bytes == 0) return;
  uint32_t *longest = &pieces->longest[(uint8_t)text[0]];
  *piece_slot(pieces, hash_text(text, bytes), text, bytes) =
      (gemma_piece_slot){.text = text, .bytes = bytes, .token = token};
  if (bytes > *longest) *longest = bytes;
}

int32_t gemma_pieces_find(const gemma_pieces *pieces, const char *text, size_t bytes) {
  if (!pieces->slot || bytes == 0 || bytes > pieces->longest[(uint8_t)text[0]]) return -1;
  const gemma_piece_slot *slot = piece_slot(pieces, hash_text(text, bytes), text, bytes);
  return slot->text ? slot->token : -1;
}

int32_t gemma_pieces_begin(const gemma_pieces *pieces, const char *text, size_t bytes, uint32_t *out_bytes) {
  uint64_t hash = hash_start;
  int32_t token = -1;
  size_t most;

  *out_bytes = 0;
  if (!pieces->slot || bytes == 0) return -1;
  most = pieces->longest[(uint8_t)text[0]];
  if (most > bytes) most = bytes;
  for (size_t i = 0; i < most; i++) {
    const gemma_piece_slot *slot;
    hash = hash_step(hash, text[i]);
    slot = piece_slot(pieces, hash_end(hash), text, i + 1);
    if (!slot->text) continue;
    token = slot->token;
    *out_bytes = slot->bytes;
  }
  return token;
}

/* ---- Merges ---- */

bool gemma_merges_open(gemma_merges *merges, uint32_t most) {
  uint64_t slots = slots_for(most);
  merges->slot = malloc(slots * sizeof *merges->slot);
  merges->mask = slots - 1;
  if (!merges->slot) return false;
  for (uint64_t i = 0; i < slots; i++) merges->slot[i].rank = -1;
  return true;
}

void gemma_merges_close(gemma_merges *merges) {
  free(merges->slot);
  memset(merges, 0, sizeof *merges);
}

static gemma_merge *merge_slot(const gemma_merges *merges, int32_t left, int32_t right) {
  uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * UINT64_C(0x9e3779b97f4a7c15);
  for (uint64_t i = (hash >> 32) & merges->mask;; i = (i + 1) & merges->mask) {
    gemma_merge *slot = &merges->slot[i];
    if (slot->rank < 0 || (slot->left == left && slot->right == right)) return slot;
  }
}

void gemma_merges_put(gemma_merges *merges, gemma_merge merge) {
  gemma_merge *slot = merge_slot(merges, merge.left, merge.right);
  if (slot->rank < 0) *slot = merge;
}

const gemma_merge *gemma_merges_find(const gemma_merges *merges, int32_t left, int32_t right) {
  if (!merges->slot || left < 0 || right < 0) return NULL;
  const gemma_merge *slot = merge_slot(merges, left, right);
  return slot->rank < 0 ? NULL : slot;
}
