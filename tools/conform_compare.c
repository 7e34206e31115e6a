/* SPDX-License-Identifier: MIT */

#include "conform_case.h"

int conform_close(weir_type type, double got, double want, double bound) {
  if (!isfinite(want)) {
    return !isfinite(got);
  }
  if (isnan(got)) {
    return 0;
  }
  double largest = number_max(type);
  double ulp = number_ulp(type, fmin(fabs(want), largest));
  if (isinf(got)) {
    return signbit(got) == signbit(want) && fabs(want) + bound + ulp >= largest + number_ulp(type, largest) / 2;
  }
  return fabs(got - want) <= bound + ulp;
}

int conform_compare(struct conform *c, const char *check, const char *what, weir_type type, const void *got,
                    const double *want, const double *bound, uint64_t count, uint64_t last) {
  for (uint64_t i = 0; i < count; ++i) {
    double value = number_load(type, got, i);
    if (!conform_close(type, value, want[i], bound[i])) {
      return conform_fail(c, check, "%s[%llu,%llu]: got %.9g, want %.9g, bound %.3g + 1 ulp of %s (%.3g)", what,
                          (unsigned long long)(i / last), (unsigned long long)(i % last), value, want[i], bound[i],
                          number_name(type), number_ulp(type, want[i]));
    }
  }
  return 0;
}

int conform_equal(struct conform *c, const char *check, const char *what, weir_type type, const void *got,
                  const void *want, uint64_t count, uint64_t last) {
  size_t size = number_size(type);
  for (uint64_t i = 0; i < count; ++i) {
    if (memcmp((const char *)got + i * size, (const char *)want + i * size, size) != 0) {
      return conform_fail(c, check, "%s[%llu,%llu]: got %.9g, want %.9g, bound 0 (bit for bit)", what,
                          (unsigned long long)(i / last), (unsigned long long)(i % last), number_load(type, got, i),
                          number_load(type, want, i));
    }
  }
  return 0;
}
