/* SPDX-License-Identifier: MIT */

/* cache.h: packed weights in a file, mapped on the next start.
 *
 * A file belongs to one model and one way of packing it: its header has a fingerprint of
 * all the model's tensors and every blob's name, key, length and checksum. All of it is checked
 * before use; a file that differs in anything is made anew. It is written under another
 * name and moved to its place when whole. */
#ifndef GEMMA_CACHE_H
#define GEMMA_CACHE_H

#include "weights.h"

typedef struct gemma_cache gemma_cache;

/* *out_model is the model's fingerprint, for which all of its file is read, for gemma_cache_create. *out_cache is null, without error, when the directory has no fit file; why not goes to
 * stderr, unless there is just none. in_place: the blobs are used where they are mapped. */
weir_status gemma_cache_open(const char *directory, const gemma_source *source, gemma_weights *weights, bool in_place,
                             uint64_t *out_model, gemma_cache **out_cache);
void gemma_cache_close(gemma_cache *cache);
/* Whether a cache is given and its blobs are used where they are. */
bool gemma_cache_in_place(const gemma_cache *cache);
/* Copies the blobs to the device, or refers to them. */
weir_status gemma_cache_upload(const gemma_cache *cache, gemma_weights *weights);

typedef struct gemma_cache_writer gemma_cache_writer;
weir_status gemma_cache_create(const char *directory, uint64_t model, const gemma_weights *weights,
                               gemma_cache_writer **out_writer);
/* A gemma_blob_fn; user is the writer. */
weir_status gemma_cache_save(void *writer, const gemma_blob *blob, const void *bytes);
/* Moves the file to its place, or with a failure as status removes it. Returns the first failure. */
weir_status gemma_cache_finish(gemma_cache_writer *writer, weir_status status);

#endif
