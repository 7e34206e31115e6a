/* SPDX-License-Identifier: MIT */

/* What the files of the cpu plugin share. */
#ifndef WEIR_CPU_H
#define WEIR_CPU_H

#include <weir/plugin.h>

/* The state that init() makes and score() and plan() of every operation get. */
struct cpu_state {
  const weir_host *host;
};

extern const weir_matvec_vtable cpu_matvec_vtable; /* int4_matvec and int8_matvec */
extern const weir_sdpa_vtable cpu_sdpa_vtable;

#endif
