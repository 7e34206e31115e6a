/* SPDX-License-Identifier: MIT */

/* weights.h: a model's weights in the memory of a device, packed as its plugins want them. */
#ifndef GEMMA_WEIGHTS_H
#define GEMMA_WEIGHTS_H

#include "memory.h"
#include "ops.h"
#include "source.h"
#include "tensors.h"

enum { GEMMA_PLANS_MOST = 64, GEMMA_PARTS_MOST = 3, GEMMA_MATRIX_NAME_SIZE = 16 };
enum { GEMMA_BLOB_NAME_SIZE = GEMMA_NAME_SIZE + 8 };

/* How one step multiplies: for one row, and for several. */
typedef struct gemma_way {
  weir_plan *plan;
  weir_matvec_info info;
  void *workspace;
  uint64_t workspace_size;
} gemma_way;

/* What matrices of equal descriptor share. */
typedef struct gemma_plan {
  weir_matvec_desc desc;
  gemma_way one, many; /* of one packed layout; many.plan is one.plan where rows_most is 1 */
} gemma_plan;

/* Bytes on the device that a cache can hold. */
typedef struct gemma_blob {
  char name[GEMMA_BLOB_NAME_SIZE];
  uint64_t key; /* of everything but the model that decides about the bytes */
  uint64_t bytes;
  void *memory;
} gemma_blob;

/* The rows of a matrix that one tensor has. */
typedef struct gemma_part {
  const char *tensor;
  uint32_t n;
} gemma_part;

/* Tensors of the same x and equal descriptors, one above the other. */
typedef struct gemma_matrix {
  char name[GEMMA_MATRIX_NAME_SIZE]; /* "q, k, v" */
  gemma_part part[GEMMA_PARTS_MOST];
  uint32_t parts;
  const gemma_plan *plan;
  gemma_blob *blob;
} gemma_matrix;

typedef struct gemma_layer_weights {
  gemma_matrix matrix[GEMMA_ROLES]; /* by the first role; without parts and plan where it has none, or another has it */
  float *norm[GEMMA_NORMS]; /* null: the model has none */
} gemma_layer_weights;

typedef struct gemma_weights {
  weir_device *device;
  const gemma_source *source;
  gemma_plan plan[GEMMA_PLANS_MOST];
  uint32_t plans;
  gemma_layer_weights *layer;
  gemma_matrix head;
  float *output_norm;
  gemma_table table;
  gemma_blob *table_codes, *table_scales, *table_zeros;
  gemma_blob *blob;
  uint32_t blobs;
  char *names; /* of the layers' tensors */
} gemma_weights;

/* Describes every matrix and makes the plans, for up to rows_most rows of matrices and
 * head_rows of the head. The source and the device must outlive the weights. */
weir_status gemma_weights_plan(weir_device *device, const gemma_source *source, weir_type x_type, uint32_t rows_most,
                               uint32_t head_rows, gemma_weights *out_weights);
/* Takes room for the vectors, the workspaces and, unless a cache is used in place, the blobs. */
void gemma_weights_layout(gemma_weights *weights, gemma_arena *arena, bool with_blobs);
/* Called with the bytes of each blob, in host memory, when it is made. */
typedef weir_status (*gemma_blob_fn)(void *user, const gemma_blob *blob, const void *bytes);
/* Imports or invents the blobs, packs them and uploads them. save may be null. */
weir_status gemma_weights_make(gemma_weights *weights, gemma_blob_fn save, void *user);
/* Vectors and zeroed workspaces; call it whatever the blobs came from. */
weir_status gemma_weights_finish(gemma_weights *weights);
/* Packed bytes that one token reads, the head and one row of the table included. */
uint64_t gemma_weights_read(const gemma_weights *weights);
void gemma_weights_close(gemma_weights *weights);

#endif
