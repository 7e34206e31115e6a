/* SPDX-License-Identifier: MIT */
#include "memory.h"

enum { ALIGNMENT = 256 };

void *gemma_take(gemma_arena *arena, uint64_t bytes) {
  if (!bytes) return NULL;
  void *piece = arena->base ? arena->base + arena->used : NULL;
  arena->used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  return piece;
}

weir_status gemma_arena_open(gemma_arena *arena) {
  void *base;
  weir_status status = weir->memory_alloc(arena->device, arena->used, &base);
  arena->base = base;
  arena->used = 0;
  return status;
}

void gemma_arena_close(gemma_arena *arena) {
  if (arena->base) weir->memory_free(arena->device, arena->base);
  arena->base = NULL;
}

weir_status gemma_clear(weir_device *device, void *piece, uint64_t bytes) {
  return bytes ? weir->memory_fill(device, piece, 0, bytes, NULL) : WEIR_OK;
}
