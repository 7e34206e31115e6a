/* SPDX-License-Identifier: MIT */

/* Data and expectations of an SDPA case. */
#ifndef TOOLS_CONFORM_SDPA_H
#define TOOLS_CONFORM_SDPA_H

#include "conform_buffer.h"

/* A tensor [batch, head, row, D] of `type` somewhere in a buffer. */
struct sdpa_tensor {
  struct buffer buffer;
  weir_type type;
  uint32_t size[3]; /* batch, heads, rows */
  uint64_t stride[3];
};

struct sdpa_data {
  const struct sdpa_case *item;
  int32_t given[CASE_BATCH_MAX]; /* kv_len as the kernel reads it */
  uint32_t len[CASE_BATCH_MAX];  /* clamped to 0..kv_capacity */
  uint32_t slots;                /* values are held for this many slots, at least 1 */
  float *q, *k, *v;              /* contiguous [batch, head, row, D], values of their types */
  uint32_t mask_size[3];         /* batch, heads, queries; 1 where the mask broadcasts */
  uint32_t mask_row;             /* slots from one query's mask to the next one's */
  float *mask;                   /* [mask_size, slots]: what is added to a score */
};

int sdpa_data_make(struct conform *c, const struct sdpa_case *item, struct sdpa_data *out_data);
/* Sets given and len; lengths beyond data->slots are cut to it. */
void sdpa_set_lengths(struct sdpa_data *data, const int32_t *given);
int sdpa_attends(const struct sdpa_data *data, uint32_t b, uint32_t h, uint32_t i, uint32_t j, float *out_mask);

/* Results and bounds, [batch, q_heads, q_len, D], and which of the [batch, q_heads, q_len]
 * rows attend nothing. */
int sdpa_expect(struct conform *c, const struct sdpa_data *data, double *out_want, double *out_bound,
                unsigned char *out_empty);

int tensor_make(struct conform *c, struct sdpa_tensor *tensor, weir_device *device, const char *name, weir_type type,
                const uint32_t size[3], uint32_t head_dim, enum sdpa_layout layout);
/* Element 0 of row (b, h, i). */
uint64_t tensor_at(const struct sdpa_tensor *tensor, uint32_t b, uint32_t h, uint32_t i);
/* As a caller gives them: what must not be read is a number that hurts. */
void tensor_strides(const struct sdpa_tensor *tensor, int64_t out_stride[3]);

/* Writes q, k and v where a device reads them; slots that nothing attends, and gaps,
 * hold NaN and infinities. */
int sdpa_send_q(struct conform *c, const struct sdpa_data *data, struct sdpa_tensor *q);
int sdpa_send_kv(struct conform *c, const struct sdpa_data *data, struct sdpa_tensor *k, struct sdpa_tensor *v,
                 int poison);
/* The mask as bytes or elements; out_stride as the caller gives it. */
int sdpa_send_mask(struct conform *c, const struct sdpa_data *data, weir_device *device, struct buffer *out_buffer,
                   int64_t out_stride[3]);

#endif
