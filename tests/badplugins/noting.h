/* SPDX-License-Identifier: MIT */

/* fake.h, with a quantize, matvec and linear that note their calls (calls.h). A test
 * plugin defines FAKE_NAME, and FAKE_MEMBER_LINEAR when its table is to have one. */
#ifndef NOTING_H
#define NOTING_H

#include "calls.h"

#define FAKE_MARK CALLS_MATVEC_MARK
#define FAKE_ACT sizeof(noted_calls)
#define FAKE_WORKSPACE 100
#define FAKE_INIT keep_host
#define FAKE_MEMBER_QUANTIZE noting_quantize
#define FAKE_MEMBER_MATVEC noting_matvec

static const weir_host *noting_host;

static inline weir_status keep_host(const weir_host *host, void **out_state) {
  (void)out_state;
  noting_host = host;
  return WEIR_OK;
}

static inline weir_status noting_quantize(const weir_plugin_plan *, const weir_quantize_args *, weir_stream);
static inline weir_status noting_matvec(const weir_plugin_plan *, const weir_matvec_args *, weir_stream);
static inline weir_status noting_linear(const weir_plugin_plan *, const weir_linear_args *, weir_stream);

#include "fake.h"

static inline weir_status note(const void *act, uint32_t member, const void *args, size_t size, weir_stream stream) {
  noted_calls *calls = (noted_calls *)(uintptr_t)act;
  if (calls->count < CALLS_MOST) {
    noted_call *call = &calls->call[calls->count];
    call->member = member;
    call->stream = stream;
    memcpy(&call->args, args, size);
  }
  calls->count++;
  if (calls->fails != member) {
    return WEIR_OK;
  }
  return noting_host->fail(noting_host, WEIR_E_DRIVER, "call %u fails as it was asked to", member);
}

static inline weir_status noting_quantize(const weir_plugin_plan *plan, const weir_quantize_args *args,
                                          weir_stream stream) {
  (void)plan;
  return note(args->act, CALL_QUANTIZE, args, sizeof *args, stream);
}

static inline weir_status noting_matvec(const weir_plugin_plan *plan, const weir_matvec_args *args,
                                        weir_stream stream) {
  weir_status status = note(args->act, CALL_MATVEC, args, sizeof *args, stream);
  return status != WEIR_OK ? status : fake_matvec(plan, args, stream);
}

static inline weir_status noting_linear(const weir_plugin_plan *plan, const weir_linear_args *args,
                                        weir_stream stream) {
  weir_status status = note(args->act, CALL_LINEAR, args, sizeof *args, stream);
  float *y = args->y;
  for (size_t i = 0; status == WEIR_OK && i < (size_t)args->m * plan->n; i++) {
    y[i] = CALLS_LINEAR_MARK;
  }
  return status;
}

#endif
