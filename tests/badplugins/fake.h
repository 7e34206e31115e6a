/* SPDX-License-Identifier: MIT */

/* A well-behaved plugin in one header, for int4_matvec only: every result is
 * FAKE_MARK, so that a test sees which plugin ran. A test plugin defines what it
 * wants to differ and includes this:
 *
 *   FAKE_NAME, FAKE_SCORE, FAKE_REASON, FAKE_MARK, FAKE_ACT, FAKE_WORKSPACE, FAKE_ALIGN
 *   FAKE_SCORE_BODY, FAKE_PLAN_BODY            bodies of score() and plan()
 *   FAKE_VTABLE_SIZE, FAKE_MEMBER_*            what the table holds
 *   FAKE_OPS, FAKE_OPS_POINTER, FAKE_OP_COUNT  what the list of operations holds
 *   FAKE_MAGIC, FAKE_MAJOR, FAKE_MINOR, FAKE_STRUCT_SIZE, FAKE_FLAGS, FAKE_SANITIZER,
 *   FAKE_INIT, FAKE_FINI                       what weir_plugin_v1 holds
 *   FAKE_OWN_PLUGIN                            the including file defines weir_plugin_v1
 */
#ifndef FAKE_H
#define FAKE_H

#include <stdlib.h>
#include <string.h>
#include <weir/plugin.h>

#ifndef FAKE_NAME
#error "define FAKE_NAME"
#endif
#ifndef FAKE_SCORE
#define FAKE_SCORE 500
#endif
#ifndef FAKE_REASON
#define FAKE_REASON FAKE_NAME " serves"
#endif
#ifndef FAKE_MARK
#define FAKE_MARK 1.0f
#endif
#ifndef FAKE_ACT
#define FAKE_ACT 64
#endif
#ifndef FAKE_WORKSPACE
#define FAKE_WORKSPACE 0
#endif
#ifndef FAKE_ALIGN
#define FAKE_ALIGN 64
#endif
#ifndef FAKE_VTABLE_SIZE
#define FAKE_VTABLE_SIZE sizeof(weir_matvec_vtable)
#endif
#ifndef FAKE_MEMBER_SCORE
#define FAKE_MEMBER_SCORE fake_score
#endif
#ifndef FAKE_MEMBER_WORKSPACE_SIZE
#define FAKE_MEMBER_WORKSPACE_SIZE fake_workspace_size
#endif
#ifndef FAKE_MEMBER_PACK
#define FAKE_MEMBER_PACK fake_pack
#endif
#ifndef FAKE_MEMBER_QUANTIZE
#define FAKE_MEMBER_QUANTIZE fake_quantize
#endif
#ifndef FAKE_MEMBER_MATVEC
#define FAKE_MEMBER_MATVEC fake_matvec
#endif
#ifndef FAKE_MEMBER_LINEAR
#define FAKE_MEMBER_LINEAR NULL
#endif
#ifndef FAKE_OPS
#define FAKE_OPS {WEIR_OP_INT4_MATVEC, 0, &fake_vtable}
#endif
#ifndef FAKE_OPS_POINTER
#define FAKE_OPS_POINTER fake_ops
#endif
#ifndef FAKE_OP_COUNT
#define FAKE_OP_COUNT (sizeof fake_ops / sizeof fake_ops[0])
#endif
#ifndef FAKE_INIT
#define FAKE_INIT NULL
#endif
#ifndef FAKE_FINI
#define FAKE_FINI NULL
#endif
#ifndef FAKE_FLAGS
#define FAKE_FLAGS 0
#endif
#ifndef FAKE_SANITIZER
#define FAKE_SANITIZER WEIR_SANITIZER
#endif
#ifndef FAKE_MAGIC
#define FAKE_MAGIC WEIR_PLUGIN_MAGIC
#endif
#ifndef FAKE_MAJOR
#define FAKE_MAJOR WEIR_ABI_MAJOR
#endif
#ifndef FAKE_MINOR
#define FAKE_MINOR WEIR_ABI_MINOR
#endif
#ifndef FAKE_STRUCT_SIZE
#define FAKE_STRUCT_SIZE sizeof(weir_plugin)
#endif

struct weir_plugin_plan {
  uint32_t n;
};

static inline void fake_score(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                              weir_score *out) {
  (void)state;
  (void)device;
#ifdef FAKE_SCORE_BODY
  (void)desc;
  FAKE_SCORE_BODY;
#else
  if (desc->y_type != WEIR_F32) {
    weir_score_set(out, 0, "y is not f32");
  } else {
    weir_score_set(out, FAKE_SCORE, "%s", FAKE_REASON);
  }
#endif
}

static inline weir_status fake_plan(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                                    weir_plugin_plan **out_plan) {
  (void)state;
  (void)device;
#ifdef FAKE_PLAN_BODY
  (void)desc;
  (void)out_plan;
  FAKE_PLAN_BODY;
#else
  weir_plugin_plan *plan = malloc(sizeof *plan);
  if (plan == NULL) {
    return WEIR_E_NOMEM;
  }
  plan->n = desc->n;
  *out_plan = plan;
  return WEIR_OK;
#endif
}

static inline void fake_plan_free(weir_plugin_plan *plan) {
  free(plan);
}

static inline void fake_info(const weir_plugin_plan *plan, weir_matvec_info *out) {
  out->properties = WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC;
  out->packed_size = plan->n;
  out->packed_tag = 1;
  out->act_tag = 0;
  out->act = WEIR_ACT_INT8;
  out->align = FAKE_ALIGN;
  out->weight_bytes = plan->n;
  strcpy(out->kernel, "fake");
}

static inline uint64_t fake_act_size(const weir_plugin_plan *plan, uint32_t m) {
  (void)plan;
  return (uint64_t)m * FAKE_ACT;
}

static inline uint64_t fake_workspace_size(const weir_plugin_plan *plan, uint32_t m) {
  (void)plan;
  return (uint64_t)m * FAKE_WORKSPACE;
}

static inline weir_status fake_pack(const weir_plugin_plan *plan, const weir_matvec_source *source, uint32_t n0,
                                    uint32_t n1, void *out_packed) {
  (void)plan;
  (void)source;
  memset((unsigned char *)out_packed + n0, 1, n1 - n0);
  return WEIR_OK;
}

static inline weir_status fake_quantize(const weir_plugin_plan *plan, const weir_quantize_args *args,
                                        weir_stream stream) {
  (void)plan;
  (void)stream;
  memset(args->act, 1, (size_t)args->m * FAKE_ACT);
  return WEIR_OK;
}

static inline weir_status fake_matvec(const weir_plugin_plan *plan, const weir_matvec_args *args, weir_stream stream) {
  (void)stream;
  float *y = args->y;
  for (size_t i = 0; i < (size_t)args->m * plan->n; i++) {
    y[i] = FAKE_MARK;
  }
  return WEIR_OK;
}

static const weir_matvec_vtable fake_vtable = {
  .struct_size = FAKE_VTABLE_SIZE,
  .score = FAKE_MEMBER_SCORE,
  .plan = fake_plan,
  .plan_free = fake_plan_free,
  .info = fake_info,
  .act_size = fake_act_size,
  .workspace_size = FAKE_MEMBER_WORKSPACE_SIZE,
  .pack = FAKE_MEMBER_PACK,
  .quantize = FAKE_MEMBER_QUANTIZE,
  .matvec = FAKE_MEMBER_MATVEC,
  .linear = FAKE_MEMBER_LINEAR,
};
static const weir_plugin_op fake_ops[] = {FAKE_OPS};

#define FAKE_PLUGIN                                                                                        \
  .magic = FAKE_MAGIC, .abi_major = FAKE_MAJOR, .abi_minor = FAKE_MINOR, .struct_size = FAKE_STRUCT_SIZE,  \
  .flags = FAKE_FLAGS, .sanitizer = FAKE_SANITIZER, .op_count = FAKE_OP_COUNT, .ops = FAKE_OPS_POINTER,    \
  .name = FAKE_NAME, .version = "1.2.3", .license = "MIT", .description = "a test plugin",                 \
  .init = FAKE_INIT, .fini = FAKE_FINI

#ifndef FAKE_OWN_PLUGIN
WEIR_PLUGIN(fake) = {FAKE_PLUGIN};
#endif
#endif
