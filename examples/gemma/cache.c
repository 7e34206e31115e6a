/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mkostemp */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parallel.h"

enum { ALIGNMENT = 4096, PATH_SIZE = 4096, VERSION = 2 };
static const char magic[8] = "weirgemm";

typedef struct header {
  char magic[8];
  uint32_t version, blobs;
  uint64_t model;    /* its fingerprint */
  uint64_t size;     /* of the file */
  uint64_t checksum; /* of the entries */
} header;

typedef struct entry {
  char name[GEMMA_BLOB_NAME_SIZE];
  uint64_t key, offset, bytes, checksum;
} entry;

struct gemma_cache {
  const header *header;
  const entry *entry;
  uint64_t size;
  bool in_place;
};

struct gemma_cache_writer {
  int file;
  char path[PATH_SIZE], part[PATH_SIZE];
  header header;
  entry *entry;
};

/* ---- Checksums ----------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  return hash ^ hash >> 32;
}

/* Four lanes, so that it runs at the speed of memory. */
static uint64_t hash_bytes(uint64_t seed, const void *bytes, uint64_t size) {
  const unsigned char *at = bytes;
  uint64_t lane[4] = {seed, seed + 1, seed + 2, seed + 3}, left = size, word[4];
  for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
    memcpy(word, at, sizeof word);
    for (int i = 0; i < 4; i++) lane[i] = mix(lane[i], word[i]);
  }
  memset(word, 0, sizeof word);
  memcpy(word, at, (size_t)left);
  for (int i = 0; i < 4; i++) lane[i] = mix(lane[i], word[i]);
  return mix(mix(mix(mix(size, lane[0]), lane[1]), lane[2]), lane[3]);
}

static uint64_t hash_text(uint64_t seed, const char *text) { return hash_bytes(seed, text, strlen(text)); }

/* All tensors of a file; hash[i] is that of tensor i. */
typedef struct tensors {
  const weir_gguf *gguf;
  uint64_t *hash;
} tensors;

static weir_status hash_tensors(void *arg, uint32_t first, uint32_t end) {
  const tensors *tensors = arg;
  weir_status status = WEIR_OK;
  for (uint32_t i = first; i < end && !status; i++) {
    weir_tensor tensor = {.struct_size = sizeof tensor};
    status = weir->gguf_tensor(tensors->gguf, i, &tensor);
    if (status) break;
    uint64_t hash = hash_text(tensor.type, tensor.name);
    hash = hash_bytes(hash, tensor.dims, sizeof tensor.dims);
    tensors->hash[i] = hash_bytes(hash, tensor.data, tensor.bytes);
  }
  return status;
}

/* Of names, shapes, types and data of all tensors. Reading them is most of its work, and much
 * sooner done than importing and packing them. */
static weir_status fingerprint(const gemma_source *source, uint64_t *out_model) {
  uint64_t hash = hash_text(VERSION, source->config.name), count = 0;
  *out_model = 0;
  if (source->gguf) count = weir->gguf_tensor_count(source->gguf);
  tensors tensors = {source->gguf, calloc(count + 1, sizeof *tensors.hash)};
  if (!tensors.hash || count > UINT32_MAX) {
    free(tensors.hash);
    return gemma_fail(WEIR_E_NOMEM, "no memory for the checksums of the model's tensors");
  }
  weir_status status = count ? gemma_parallel((uint32_t)count, 1, hash_tensors, &tensors) : WEIR_OK;
  for (uint64_t i = 0; i < count; i++) hash = mix(hash, tensors.hash[i]);
  free(tensors.hash);
  *out_model = hash;
  return status;
}

/* ---- Names --------------------------------------------------------------- */

static weir_status cache_path(const char *directory, uint64_t model, const gemma_weights *weights, const char *ending,
                              char out_path[PATH_SIZE]) {
  uint64_t layout = VERSION;
  for (uint32_t i = 0; i < weights->blobs; i++) layout = mix(layout, weights->blob[i].key);
  int length = snprintf(out_path, PATH_SIZE, "%s/%016" PRIx64 "-%016" PRIx64 ".weights%s", directory, model, layout, ending);
  if (length < PATH_SIZE) return WEIR_OK;
  return gemma_fail(WEIR_E_INVALID, "the name of the cache directory is too long");
}

static weir_status fail_file(const char *path, const char *what) {
  return gemma_fail(errno == ENOMEM ? WEIR_E_NOMEM : WEIR_E_IO, "%s %s: %s; give another --cache directory, or none", path,
                    what, strerror(errno));
}

/* ---- Reading ------------------------------------------------------------- */

/* Null when the header and the entries are those of these blobs, else what differs. */
static const char *differs(const void *mapped, uint64_t size, uint64_t model, const gemma_weights *weights) {
  const header *header = mapped;
  const entry *entry = (const void *)(header + 1);
  if (size < sizeof *header || memcmp(header->magic, magic, sizeof magic) != 0) return "is no cache of weights";
  if (header->version != VERSION) return "is of another version";
  if (header->size != size) return "is truncated";
  if (header->model != model || header->blobs != weights->blobs) return "is of another model";
  if ((size - sizeof *header) / sizeof *entry < header->blobs) return "is truncated";
  if (hash_bytes(model, entry, header->blobs * sizeof *entry) != header->checksum) return "is damaged";
  for (uint32_t i = 0; i < header->blobs; i++) {
    const gemma_blob *blob = &weights->blob[i];
    if (memcmp(entry[i].name, blob->name, sizeof blob->name) != 0 || entry[i].key != blob->key ||
        entry[i].bytes != blob->bytes)
      return "holds weights that are packed in another way";
    if (entry[i].offset % ALIGNMENT || entry[i].offset > size || size - entry[i].offset < blob->bytes)
      return "is damaged";
  }
  return NULL;
}

static weir_status check_blobs(void *arg, uint32_t first, uint32_t end) {
  const gemma_cache *cache = arg;
  for (uint32_t i = first; i < end; i++) {
    const entry *entry = &cache->entry[i];
    if (hash_bytes(entry->key, (const char *)cache->header + entry->offset, entry->bytes) != entry->checksum)
      return gemma_fail(WEIR_E_FORMAT, "its copy of %s is damaged", entry->name);
  }
  return WEIR_OK;
}

static weir_status adopt(void *mapped, uint64_t size, bool in_place, gemma_cache **out_cache) {
  gemma_cache *cache = malloc(sizeof *cache);
  *out_cache = cache;
  if (!cache) return gemma_fail(WEIR_E_NOMEM, "no memory for the description of a cache");
  *cache = (gemma_cache){mapped, (const void *)((const header *)mapped + 1), size, in_place};
  return WEIR_OK;
}

weir_status gemma_cache_open(const char *directory, const gemma_source *source, gemma_weights *weights, bool in_place,
                             uint64_t *out_model, gemma_cache **out_cache) {
  char path[PATH_SIZE];
  struct stat info;
  void *mapped = MAP_FAILED;
  const char *why;
  weir_status status = fingerprint(source, out_model);
  const uint64_t model = *out_model;

  *out_cache = NULL;
  if (!status) status = cache_path(directory, model, weights, "", path);
  if (status) return status;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? WEIR_OK : fail_file(path, "cannot be opened");
  if (fstat(file, &info) == 0 && info.st_size > 0)
    mapped = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (mapped == MAP_FAILED) {
    fprintf(stderr, "weir-gemma: %s cannot be mapped; it is made anew\n", path);
    return WEIR_OK;
  }
  why = differs(mapped, (uint64_t)info.st_size, model, weights);
  if (!why) status = adopt(mapped, (uint64_t)info.st_size, in_place, out_cache);
  if (*out_cache && gemma_parallel(weights->blobs, 1, check_blobs, *out_cache)) {
    why = gemma_error(WEIR_E_FORMAT);
    free(*out_cache);
    *out_cache = NULL;
  }
  if (*out_cache) return WEIR_OK;
  if (why) fprintf(stderr, "weir-gemma: %s: %s; it is made anew\n", path, why);
  munmap(mapped, (size_t)info.st_size);
  return status;
}

void gemma_cache_close(gemma_cache *cache) {
  if (!cache) return;
  munmap((void *)(uintptr_t)cache->header, cache->size);
  free(cache);
}

bool gemma_cache_in_place(const gemma_cache *cache) { return cache && cache->in_place; }

weir_status gemma_cache_upload(const gemma_cache *cache, gemma_weights *weights) {
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < weights->blobs && !status; i++) {
    gemma_blob *blob = &weights->blob[i];
    char *mapped = (char *)(uintptr_t)cache->header + cache->entry[i].offset;
    if (cache->in_place) blob->memory = mapped;
    else status = weir->memory_upload(weights->device, blob->memory, mapped, blob->bytes, NULL);
  }
  return status;
}

/* ---- Writing ------------------------------------------------------------- */

static weir_status write_all(const gemma_cache_writer *writer, const void *bytes, uint64_t size, uint64_t offset) {
  const char *at = bytes;
  while (size) {
    ssize_t written = pwrite(writer->file, at, size < (1u << 30) ? (size_t)size : 1u << 30, (off_t)offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail_file(writer->part, "cannot be written");
    at += written;
    offset += (uint64_t)written;
    size -= (uint64_t)written;
  }
  return WEIR_OK;
}

static uint64_t align(uint64_t offset) { return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static void list_blobs(gemma_cache_writer *writer, const gemma_weights *weights) {
  uint64_t at = align(sizeof(header) + weights->blobs * sizeof(entry));
  for (uint32_t i = 0; i < weights->blobs; i++) {
    const gemma_blob *blob = &weights->blob[i];
    writer->entry[i] = (entry){.key = blob->key, .offset = at, .bytes = blob->bytes};
    memcpy(writer->entry[i].name, blob->name, sizeof blob->name);
    at = align(at + blob->bytes);
  }
  writer->header.blobs = weights->blobs;
  writer->header.size = at;
}

weir_status gemma_cache_create(const char *directory, uint64_t model, const gemma_weights *weights,
                               gemma_cache_writer **out_writer) {
  gemma_cache_writer *writer = calloc(1, sizeof *writer);
  weir_status status;
  *out_writer = writer;
  if (!writer) return gemma_fail(WEIR_E_NOMEM, "no memory to write a cache");
  writer->file = -1;
  writer->entry = calloc(weights->blobs, sizeof *writer->entry);
  if (!writer->entry) return gemma_fail(WEIR_E_NOMEM, "no memory to write a cache");
  memcpy(writer->header.magic, magic, sizeof magic);
  writer->header.version = VERSION;
  writer->header.model = model;
  status = cache_path(directory, model, weights, "", writer->path);
  if (!status) status = cache_path(directory, model, weights, ".XXXXXX", writer->part);
  if (status) return status;
  if (mkdir(directory, 0777) && errno != EEXIST) return fail_file(directory, "cannot be made");
  writer->file = mkostemp(writer->part, O_CLOEXEC); /* a name of its own: others may write the same cache */
  if (writer->file < 0) return fail_file(writer->part, "cannot be created");
  list_blobs(writer, weights);
  if (ftruncate(writer->file, (off_t)writer->header.size)) return fail_file(writer->part, "cannot be written");
  return WEIR_OK;
}

weir_status gemma_cache_save(void *user, const gemma_blob *blob, const void *bytes) {
  gemma_cache_writer *writer = user;
  for (uint32_t i = 0; i < writer->header.blobs; i++) {
    entry *entry = &writer->entry[i];
    if (strcmp(entry->name, blob->name) != 0) continue;
    entry->checksum = hash_bytes(entry->key, bytes, blob->bytes);
    return write_all(writer, bytes, blob->bytes, entry->offset);
  }
  return WEIR_OK;
}

weir_status gemma_cache_finish(gemma_cache_writer *writer, weir_status status) {
  if (!writer) return status;
  const uint64_t bytes = writer->header.blobs * sizeof *writer->entry;
  if (!status) {
    writer->header.checksum = hash_bytes(writer->header.model, writer->entry, bytes);
    status = write_all(writer, writer->entry, bytes, sizeof writer->header);
  }
  if (!status) status = write_all(writer, &writer->header, sizeof writer->header, 0);
  if (writer->file >= 0 && close(writer->file) && !status) status = fail_file(writer->part, "cannot be written");
  if (!status && rename(writer->part, writer->path)) status = fail_file(writer->path, "cannot be created");
  if (status && writer->file >= 0) unlink(writer->part);
  free(writer->entry);
  free(writer);
  return status;
}
