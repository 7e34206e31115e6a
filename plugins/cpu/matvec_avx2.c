/* SPDX-License-Identifier: MIT */

/* The matvec kernels with AVX2, FMA and F16C. */
#if defined(__x86_64__)

#define ISA __attribute__((target("avx2,fma,f16c")))
#include "lanes_256.h"
#include "matvec_lanes.h"

const struct cpu_matvec_isa cpu_matvec_avx2 = {
  .name = "avx2",
  .features = WEIR_CPU_AVX2,
  .score = 100,
  .int4 = INT4_TABLE,
  .int8 = INT8_TABLE,
};

#else
typedef int weir_cpu_no_avx2;
#endif
