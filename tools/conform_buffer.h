/* SPDX-License-Identifier: MIT */

/* Memory with guards: 256 bytes before and behind hold a pattern (a NaN in every
 * floating type), and so does what was not written yet. `image` is what the
 * whole should hold, guards included. */
#ifndef TOOLS_CONFORM_BUFFER_H
#define TOOLS_CONFORM_BUFFER_H

#include "conform_case.h"

struct buffer {
  const char *name;
  weir_device *device; /* null: host memory */
  unsigned char *memory;
  unsigned char *image;
  uint64_t start, size, total; /* the content is [start, start + size) of total */
};

/* `skew` bytes off an alignment of 256. All of it is poisoned. */
int buffer_make(struct conform *c, struct buffer *buffer, weir_device *device, const char *name, uint64_t size,
                uint64_t skew);
/* Address on the device; null for an empty buffer. */
void *buffer_at(const struct buffer *buffer);
/* The content in the image. */
void *buffer_image(const struct buffer *buffer);
/* Image to device; there when it returns. */
int buffer_send(struct conform *c, struct buffer *buffer);
/* Makes the content on the device a pattern that is NaN in every floating type and
 * negative in integers; the image keeps what it should be, for buffer_send. */
int buffer_hide(struct conform *c, struct buffer *buffer);
int buffer_fill(struct conform *c, struct buffer *buffer, const void *content);
int buffer_zero(struct conform *c, struct buffer *buffer);
int buffer_poison(struct conform *c, struct buffer *buffer, unsigned char low, unsigned char high);
/* Device to image; the guards must be as they were. `tamper` damages what was read:
 * one bit `behind` the content or before it. */
int buffer_receive(struct conform *c, struct buffer *buffer, enum conform_tamper tamper, int behind);
/* Nothing on the device may differ from the image. */
int buffer_unchanged(struct conform *c, const struct buffer *buffer, enum conform_tamper tamper);

#endif
