/* SPDX-License-Identifier: MIT */

/* The matvec kernels with AVX2 and the 256-bit dot product of AVX-VNNI. */
#if defined(__x86_64__)

#define ISA __attribute__((target("avx2,fma,f16c,avxvnni")))
#define LANES_VNNI
#include "lanes_256.h"
#include "matvec_lanes.h"

const struct cpu_matvec_isa cpu_matvec_avx_vnni = {
  .name = "avx-vnni",
  .features = WEIR_CPU_AVX2 | WEIR_CPU_AVX_VNNI,
  .score = 100,
  .int4 = INT4_TABLE,
  .int8 = INT8_TABLE,
};

#else
typedef int weir_cpu_no_avx_vnni;
#endif
