/* SPDX-License-Identifier: MIT */

/* What the operations of the oracle share. */
#ifndef REF_REF_H
#define REF_REF_H

#include <weir/plugin.h>

/* There is nothing to prepare: a plan is what was asked for. */
struct weir_plugin_plan {
  const weir_host *host;
  union {
    weir_matvec_desc matvec;
    weir_sdpa_desc sdpa;
  } desc;
};

extern const weir_matvec_vtable ref_matvec_vtable;
extern const weir_sdpa_vtable ref_sdpa_vtable;

/* 1 on the CPU, whatever the descriptor; 0 elsewhere. */
void ref_score(const weir_device_info *device, weir_score *out);

/* A plan with its host set; the descriptor is the caller's to fill in. */
weir_status ref_plan_new(void *state, weir_plugin_plan **out_plan);
void ref_plan_free(weir_plugin_plan *plan);

#endif
