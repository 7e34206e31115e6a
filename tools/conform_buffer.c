/* SPDX-License-Identifier: MIT */

#include "conform_buffer.h"

#include <stdlib.h>

enum { GUARD = 256, ALIGN = 256 };
static const unsigned char pattern[2] = {0xfb, 0xff};

static void paint(unsigned char *at, uint64_t bytes, unsigned char low, unsigned char high) {
  for (uint64_t i = 0; i < bytes; ++i) {
    at[i] = i & 1 ? high : low;
  }
}

static int copy_out(struct conform *c, const struct buffer *buffer, unsigned char *out_bytes) {
  if (!buffer->device) {
    memcpy(out_bytes, buffer->memory, buffer->total);
    return 0;
  }
  weir_stream stream = conform_stream(c, buffer->device);
  weir_status status = weir_memory_download(buffer->device, out_bytes, buffer->memory, buffer->total, stream);
  if (status == WEIR_OK) {
    status = weir_synchronize(buffer->device, stream);
  }
  return status == WEIR_OK ? 0 : conform_fail_call(c, "run", "weir_memory_download", status);
}

int buffer_make(struct conform *c, struct buffer *buffer, weir_device *device, const char *name, uint64_t size,
                uint64_t skew) {
  memset(buffer, 0, sizeof *buffer);
  buffer->name = name;
  buffer->device = device;
  buffer->start = GUARD + skew;
  buffer->size = size;
  buffer->total = (buffer->start + size + GUARD + ALIGN - 1) / ALIGN * ALIGN;
  buffer->image = conform_memory(c, buffer->total);
  if (!buffer->image) {
    return -1;
  }
  void *memory = NULL;
  if (device) {
    weir_status status = weir_memory_alloc(device, buffer->total, &memory);
    if (status != WEIR_OK) {
      return conform_fail_call(c, "run", "weir_memory_alloc", status);
    }
  } else {
    memory = aligned_alloc(ALIGN, buffer->total);
    if (!memory) {
      return conform_fail(c, "run", "no memory for %llu bytes", (unsigned long long)buffer->total);
    }
  }
  buffer->memory = memory;
  if (conform_keep(c, (struct garbage){.device = device, .memory = memory})) {
    return -1;
  }
  return buffer_poison(c, buffer, pattern[0], pattern[1]);
}

void *buffer_at(const struct buffer *buffer) { return buffer->size ? buffer->memory + buffer->start : NULL; }

void *buffer_image(const struct buffer *buffer) { return buffer->image + buffer->start; }

int buffer_send(struct conform *c, struct buffer *buffer) {
  if (!buffer->device) {
    memcpy(buffer->memory, buffer->image, buffer->total);
    return 0;
  }
  weir_stream stream = conform_stream(c, buffer->device);
  weir_status status = weir_memory_upload(buffer->device, buffer->memory, buffer->image, buffer->total, stream);
  if (status == WEIR_OK) {
    status = weir_synchronize(buffer->device, stream);
  }
  return status == WEIR_OK ? 0 : conform_fail_call(c, "run", "weir_memory_upload", status);
}

int buffer_hide(struct conform *c, struct buffer *buffer) {
  weir_stream stream = conform_stream(c, buffer->device);
  weir_status status = weir_memory_fill(buffer->device, buffer_at(buffer), 0xff, buffer->size, stream);
  if (status == WEIR_OK) {
    status = weir_synchronize(buffer->device, stream);
  }
  return status == WEIR_OK ? 0 : conform_fail_call(c, "run", "weir_memory_fill", status);
}

int buffer_fill(struct conform *c, struct buffer *buffer, const void *content) {
  if (buffer->size) {
    memcpy(buffer_image(buffer), content, buffer->size);
  }
  return buffer_send(c, buffer);
}

int buffer_zero(struct conform *c, struct buffer *buffer) {
  memset(buffer_image(buffer), 0, buffer->size);
  return buffer_send(c, buffer);
}

int buffer_poison(struct conform *c, struct buffer *buffer, unsigned char low, unsigned char high) {
  paint(buffer->image, buffer->total, pattern[0], pattern[1]);
  paint(buffer_image(buffer), buffer->size, low, high);
  return buffer_send(c, buffer);
}

static int check_guard(struct conform *c, const struct buffer *buffer, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; ++i) {
    if (buffer->image[i] != pattern[i & 1]) {
      long long at = (long long)i - (long long)buffer->start;
      return conform_fail(c, "redzone", "%s: byte %lld, %s its %llu bytes, was written (got 0x%02x, want 0x%02x)",
                          buffer->name, at, at < 0 ? "before" : "behind", (unsigned long long)buffer->size,
                          buffer->image[i], pattern[i & 1]);
    }
  }
  return 0;
}

int buffer_receive(struct conform *c, struct buffer *buffer, enum conform_tamper tamper, int behind) {
  if (copy_out(c, buffer, buffer->image)) {
    return -1;
  }
  if (conform_tampered(c, tamper)) {
    buffer->image[behind ? buffer->start + buffer->size : buffer->start - 1] ^= 0x10;
  }
  return check_guard(c, buffer, 0, buffer->start) ||
                 check_guard(c, buffer, buffer->start + buffer->size, buffer->total)
             ? -1
             : 0;
}

int buffer_unchanged(struct conform *c, const struct buffer *buffer, enum conform_tamper tamper) {
  unsigned char *now = malloc(buffer->total);
  if (!now) {
    return conform_fail(c, "run", "no memory for %llu bytes", (unsigned long long)buffer->total);
  }
  int result = copy_out(c, buffer, now);
  if (result == 0 && conform_tampered(c, tamper)) {
    now[buffer->start] ^= 0x10;
  }
  if (result == 0 && memcmp(now, buffer->image, buffer->total) != 0) {
    uint64_t i = 0;
    while (now[i] == buffer->image[i]) {
      ++i;
    }
    result = conform_fail(c, "input", "%s: byte %lld of %llu was changed (got 0x%02x, want 0x%02x)", buffer->name,
                          (long long)i - (long long)buffer->start, (unsigned long long)buffer->size, now[i],
                          buffer->image[i]);
  }
  free(now);
  return result;
}
