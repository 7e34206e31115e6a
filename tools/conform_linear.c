/* SPDX-License-Identifier: MIT */

/* weir_linear against weir_quantize and weir_matvec. */

#include "conform_matvec.h"

static int call_rows(struct conform *c, struct matvec_unit *unit, uint32_t m, const void *x, int unaligned,
                     struct matvec_call *out_call) {
  return call_make(c, unit, m, x, unaligned, out_call) || call_linear(c, unit, out_call) ? -1 : 0;
}

static int check_rows(struct conform *c, struct matvec_unit *unit, uint32_t m, const void *x, int unaligned,
                      const void *want) {
  struct matvec_call call;
  if (call_rows(c, unit, m, x, unaligned, &call)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_LINEAR)) {
    *(unsigned char *)buffer_image(&call.y) ^= 1;
  }
  return conform_equal(c, "linear", "y of weir_linear", unit->desc.y_type, buffer_image(&call.y), want,
                       (uint64_t)m * unit->desc.n, unit->desc.n);
}

int linear_check(struct conform *c, const struct matvec_case *item, struct matvec_unit *unit, const void *x,
                 const void *y) {
  if (check_rows(c, unit, item->m, x, item->unaligned, y)) {
    return -1;
  }
  return item->m > 1 && (unit->info.properties & WEIR_ROW_INVARIANT) ? check_rows(c, unit, 1, x, item->unaligned, y) : 0;
}

int linear_check_nan(struct conform *c, struct matvec_unit *unit, const void *x) {
  struct matvec_call call;
  if (call_rows(c, unit, 1, x, 0, &call)) {
    return -1;
  }
  for (uint32_t i = 0; i < unit->desc.n; ++i) {
    double result =
        conform_tampered(c, CONFORM_TAMPER_LINEAR_NAN) ? 0 : number_load(unit->desc.y_type, buffer_image(&call.y), i);
    if (isfinite(result)) {
      return conform_fail(c, "linear", "y[%u] of weir_linear: got %.9g, want NaN or an infinity, which x holds", i, result);
    }
  }
  return 0;
}
