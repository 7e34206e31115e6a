/* SPDX-License-Identifier: MIT */

/* Compiled with a later header of the same major: longer structs, a later minor. */
#define FAKE_NAME "minor_newer"
#define FAKE_MINOR 7
#define FAKE_MARK 100.0f
#define FAKE_STRUCT_SIZE sizeof later
#define FAKE_OPS_POINTER later_ops
#define FAKE_OP_COUNT 1
#define FAKE_OWN_PLUGIN
#include "fake.h"

static const struct later_vtable {
  weir_matvec_vtable known;
  void *unknown[4];
} later_vtable = {
  .known = {
    .struct_size = sizeof later_vtable,
    .score = fake_score,
    .plan = fake_plan,
    .plan_free = fake_plan_free,
    .info = fake_info,
    .act_size = fake_act_size,
    .workspace_size = fake_workspace_size,
    .pack = fake_pack,
    .quantize = fake_quantize,
    .matvec = fake_matvec,
  },
  .unknown = {(void *)8, (void *)8, (void *)8, (void *)8},
};
static const weir_plugin_op later_ops[] = {{WEIR_OP_INT4_MATVEC, 0, &later_vtable}};

extern WEIR_EXPORT const struct later_plugin later __asm__("weir_plugin_v1");
const struct later_plugin {
  weir_plugin known;
  void *unknown[4];
} later = {
  .known = {FAKE_PLUGIN},
  .unknown = {(void *)8, (void *)8, (void *)8, (void *)8},
};
