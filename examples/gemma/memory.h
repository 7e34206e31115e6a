/* SPDX-License-Identifier: MIT */

/* memory.h: one allocation of the device, handed out in pieces.
 *
 * A layout is a function that takes its pieces in a fixed order. It runs twice: first
 * to count, then, after gemma_arena_open, to get the addresses. */
#ifndef GEMMA_MEMORY_H
#define GEMMA_MEMORY_H

#include "library.h"

typedef struct gemma_arena {
  weir_device *device;
  char *base; /* null while counting */
  uint64_t used;
} gemma_arena;

/* The next piece, aligned to 256 bytes; null while counting, and for no bytes. */
void *gemma_take(gemma_arena *arena, uint64_t bytes);
/* Allocates what was counted, and starts handing out. */
weir_status gemma_arena_open(gemma_arena *arena);
void gemma_arena_close(gemma_arena *arena);
/* Zeros; a piece of no bytes may be null. */
weir_status gemma_clear(weir_device *device, void *piece, uint64_t bytes);

#endif
