/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gguf.h"

/* ---- Opening ---- */

static weir_status map_file(weir_gguf *gguf) {
  weir_status status = WEIR_OK;
  struct stat info;
  /* Without O_NONBLOCK a FIFO would wait here for a writer. */
  int fd = open(gguf->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return weir_fail(WEIR_E_IO, "%s: cannot be opened: %s", gguf->path, strerror(errno));
  if (fstat(fd, &info) != 0) {
    status = weir_fail(WEIR_E_IO, "%s: cannot be examined: %s", gguf->path, strerror(errno));
    goto out;
  }
  if (!S_ISREG(info.st_mode)) {
    status = weir_fail(WEIR_E_IO, "%s: is %s; give a .gguf file", gguf->path,
                       S_ISDIR(info.st_mode) ? "a directory" : "no regular file");
    goto out;
  }
  if (info.st_size == 0) {
    status = weir_fail(WEIR_E_FORMAT, "%s: byte 0: the file is empty; a GGUF file starts with \"GGUF\", "
                       "so fetch it again", gguf->path);
    goto out;
  }
  if ((uintmax_t)info.st_size > SIZE_MAX) {
    status = weir_fail(WEIR_E_IO, "%s: has %jd bytes, more than this process can map", gguf->path,
                       (intmax_t)info.st_size);
    goto out;
  }
  void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED) {
    status = weir_fail(WEIR_E_IO, "%s: cannot be mapped (%jd bytes): %s", gguf->path, (intmax_t)info.st_size,
                       strerror(errno));
    goto out;
  }
  gguf->map = map;
  gguf->size = (uint64_t)info.st_size;
out:
  close(fd);
  return status;
}

/* The bounds are checked once. A file that somebody shortens while it is mapped
 * ends the process with SIGBUS at the next touch, as any mapped file does;
 * replace model files by renaming. */
weir_status weir_gguf_open(const char *path, weir_gguf **out_gguf) {
  if (!out_gguf) return weir_fail(WEIR_E_NULL, "weir_gguf_open: out_gguf is null");
  *out_gguf = NULL;
  if (!path) return weir_fail(WEIR_E_NULL, "weir_gguf_open: path is null");
  weir_gguf *gguf = calloc(1, sizeof *gguf);
  if (gguf) gguf->path = text_copy(path, strlen(path));
  if (!gguf || !gguf->path) {
    weir_gguf_close(gguf);
    return weir_fail(WEIR_E_NOMEM, "%s: no memory to open it", path);
  }
  weir_status status = map_file(gguf);
  if (!status) status = gguf_parse(gguf);
  if (status) {
    weir_gguf_close(gguf);
    return status;
  }
  *out_gguf = gguf;
  return WEIR_OK;
}

void weir_gguf_close(weir_gguf *gguf) {
  if (!gguf) return;
  for (uint64_t i = 0; gguf->values && i < gguf->value_count; i++) free(gguf->values[i].strings);
  for (uint64_t i = 0; gguf->tensors && i < gguf->tensor_count; i++) free(gguf->tensors[i].name);
  free(gguf->values);
  free(gguf->tensors);
  free(gguf->tensors_by_name);
  if (gguf->map) munmap((void *)(uintptr_t)gguf->map, (size_t)gguf->size);
  free(gguf->path);
  free(gguf);
}

/* ---- Tensors ---- */

static weir_status clear_tensor(weir_tensor *tensor) {
  static const weir_tensor nothing;
  return weir_struct_out(tensor, &nothing, sizeof nothing, "weir_tensor");
}

uint64_t weir_gguf_tensor_count(const weir_gguf *gguf) { return gguf ? gguf->tensor_count : 0; }

weir_status weir_gguf_tensor(const weir_gguf *gguf, uint64_t index, weir_tensor *out_tensor) {
  weir_status status = clear_tensor(out_tensor);
  if (status) return status;
  if (!gguf) return weir_fail(WEIR_E_NULL, "weir_gguf_tensor: gguf is null");
  if (index >= gguf->tensor_count)
    return weir_fail(WEIR_E_NOTFOUND, "%s: there is no tensor %" PRIu64 "; the file has %" PRIu64
                     ", counted from 0", gguf->path, index, gguf->tensor_count);
  return weir_struct_out(out_tensor, &gguf->tensors[index].info, sizeof(weir_tensor), "weir_tensor");
}

static size_t common_prefix(const char *a, const char *b) {
  size_t n = 0;
  while (a[n] && a[n] == b[n]) n++;
  return n;
}

weir_status weir_gguf_find(const weir_gguf *gguf, const char *name, weir_tensor *out_tensor) {
  weir_status status = clear_tensor(out_tensor);
  if (status) return status;
  if (!gguf || !name) return weir_fail(WEIR_E_NULL, "weir_gguf_find: %s is null", gguf ? "name" : "gguf");
  uint64_t low = 0, high = gguf->tensor_count;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (strcmp(gguf->tensors_by_name[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  const char *after = low < gguf->tensor_count ? gguf->tensors_by_name[low]->name : NULL;
  if (after && strcmp(after, name) == 0)
    return weir_struct_out(out_tensor, &gguf->tensors_by_name[low]->info, sizeof(weir_tensor), "weir_tensor");
  const char *before = low > 0 ? gguf->tensors_by_name[low - 1]->name : NULL;
  const char *near = after ? after : before;
  if (after && before && common_prefix(before, name) > common_prefix(after, name)) near = before;
  if (!near) return weir_fail(WEIR_E_NOTFOUND, "%s: there is no tensor '%s'; the file has none", gguf->path, name);
  return weir_fail(WEIR_E_NOTFOUND, "%s: there is no tensor '%s' among the %" PRIu64 "; one near it is '%s'",
                   gguf->path, name, gguf->tensor_count, near);
}
