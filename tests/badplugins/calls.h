/* SPDX-License-Identifier: MIT */

/* What the plugins linear_*.c note at act, for the test that made the call: which of
 * quantize, matvec and linear came, in which order, and with what. The test zeroes
 * it first, and may ask one of the three to fail. */
#ifndef CALLS_H
#define CALLS_H

#include <weir/plugin.h>

enum { CALLS_MOST = 3 };
enum { CALL_QUANTIZE = 1, CALL_MATVEC = 2, CALL_LINEAR = 3 };

typedef struct noted_call {
  uint32_t member; /* CALL_* */
  uint32_t reserved;
  weir_stream stream;
  union {
    weir_quantize_args quantize;
    weir_matvec_args matvec;
    weir_linear_args linear;
  } args;
} noted_call;

typedef struct noted_calls {
  uint32_t fails; /* this CALL_* fails with WEIR_E_DRIVER, and writes nothing */
  uint32_t count;
  noted_call call[CALLS_MOST];
} noted_calls;

/* What the plugins write into y. */
#define CALLS_MATVEC_MARK 110.0f
#define CALLS_LINEAR_MARK 120.0f

#endif
