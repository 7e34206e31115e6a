/* SPDX-License-Identifier: MIT */

/* Data and expectations of a matvec case. */
#ifndef TOOLS_CONFORM_MATVEC_H
#define TOOLS_CONFORM_MATVEC_H

#include "conform_buffer.h"

struct matvec_data {
  struct buffer codes, scales, zeros; /* host memory; zeros is empty without a plane */
  weir_matvec_source source;
  double *w;     /* [n,k]: scale * (code - zero), or scale * code + min */
  double *w_abs; /* [n,k]: |scale*code| + |scale*zero|, or + |min| */
  void *bias;    /* [n] of bias_type; null without */
  void *x;       /* [m,k] of x_type */
  uint32_t zero_row; /* all zeros; UINT32_MAX: none */
};

/* Makes all of it, from c->rng. */
int matvec_data_make(struct conform *c, const struct matvec_case *item, const weir_matvec_desc *desc,
                     struct matvec_data *out_data);

/* The suite's own result and the bound for every element, [m,n], for x of the case's
 * type as `act` represents it. A row with NaN or Inf wants NaN. */
int matvec_expect(struct conform *c, const weir_matvec_desc *desc, const struct matvec_data *data, const void *x,
                  uint32_t m, weir_act act, double *out_want, double *out_bound);

/* One plan with its weights on its device. */
struct matvec_unit {
  weir_device *device;
  weir_matvec_desc desc;
  weir_plan *plan;
  weir_matvec_info info;
  struct buffer packed; /* on the device */
  struct buffer bias;
};
/* One call: m rows in, y out. */
struct matvec_call {
  uint32_t m;
  struct buffer x, act, y, workspace;
  weir_graph *graph; /* null: nothing was captured */
};

int unit_pack(struct conform *c, struct matvec_unit *unit, const struct matvec_data *data, int unaligned,
              struct buffer *out_host);
int call_make(struct conform *c, const struct matvec_unit *unit, uint32_t m, const void *x, int unaligned,
              struct matvec_call *out_call);
/* Only the matvec, with an act that is there. Reads y back; nothing else may have changed. */
int call_matvec(struct conform *c, struct matvec_unit *unit, struct matvec_call *call, const struct buffer *act);
/* After unit_run: once more into poisoned buffers, the matvec right behind the quantize
 * on the stream, or from the same graph. */
int call_again(struct conform *c, struct matvec_unit *unit, struct matvec_call *call);
/* After unit_run: weir_linear with the same x, into poisoned buffers; from a graph of its own
 * where the options want that. */
int call_linear(struct conform *c, struct matvec_unit *unit, struct matvec_call *call);
/* weir_linear of x must give y bit for bit, all rows of it, and the first alone where the plan
 * says that rows do not depend on each other. And what it makes of a row with a NaN or an Inf. */
int linear_check(struct conform *c, const struct matvec_case *item, struct matvec_unit *unit, const void *x,
                 const void *y);
int linear_check_nan(struct conform *c, struct matvec_unit *unit, const void *x);
/* Makes a call, quantizes, runs: the result is in out_call->y. From a graph where the
 * options want that. */
int unit_run(struct conform *c, struct matvec_unit *unit, uint32_t m, const void *x, int unaligned,
             struct matvec_call *out_call);

#endif
