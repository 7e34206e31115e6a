/* SPDX-License-Identifier: MIT */

/* int4_matvec and int8_matvec: score, plans, launches. The arithmetic is in ptx/.
 *
 * A launch computes up to 8 rows of x. The kernels for 1, 2, 4 and 8 rows add in one
 * order, which depends on k and the number of warps only. So that a row's result does
 * not depend on how many rows were asked for, one number of warps serves all kernels
 * of a plan; with m_max = 1 it may be one that the kernels for more rows cannot have. */

#include <string.h>

#include "dp4a.h"

enum {
  CLASSES = 4,               /* kernels for 1, 2, 4 and 8 rows */
  QUANTIZE_THREADS = 64,
  GRID_Y_MOST = 65535,
  STAGED_MOST = 64 * 1024,   /* bytes of act; more would leave too few blocks on a multiprocessor */
  STATIC_SHARED = 4096,      /* the most that a kernel declares itself */
  RESIDENT_WARPS_LEAN = 24,  /* of a multiprocessor, by the registers of the kernels: 80 ... */
  RESIDENT_WARPS = 16,       /* ... and up to 128 */
  SCORE_VECTOR = 200,
  SCORE_SCALAR = 150
};

#ifdef WEIR_DP4A_SCALAR
enum { SCORE = SCORE_SCALAR, ACT_TAG = 2, STAGES = 0, QUANTIZE_VALUES = 4 /* of a thread */ };
enum { ACT_K = 32, ACT_BYTES = 36 /* for ACT_K of k */ };
#else
enum { SCORE = SCORE_VECTOR, ACT_TAG = 1, STAGES = 1, QUANTIZE_VALUES = 16 };
enum { ACT_K = 256, ACT_BYTES = 320 };
#endif

static const uint32_t most_k = 1u << 31; /* kernels count the bytes of a row of act in 32 bits */
static const uint64_t packed_tag = 2;    /* the same layout in both plugins */

struct weir_plugin_plan {
  const weir_host *host;
  struct dp4a_layout layout;
  const weir_kernel *quantize;
  const weir_kernel *matvec[CLASSES];
  const weir_kernel *from_x; /* a row of x: quantises it in every block; or null */
  uint32_t warps;
  uint32_t staged_most; /* bytes of act that a block may stage */
  uint32_t launch_flags;
};

static uint32_t class_of(uint32_t rows) {
  return rows <= 1 ? 0 : rows <= 2 ? 1 : rows <= 4 ? 2 : 3;
}

static uint64_t act_row_bytes(const struct dp4a_layout *layout) {
  return (uint64_t)layout->kpad / ACT_K * ACT_BYTES;
}

/* ---- Score -------------------------------------------------------------- */

static void score(void *state, const weir_device_info *device, const weir_matvec_desc *desc, weir_score *out) {
  const weir_host *host = state;
  if (device->kind != WEIR_DEVICE_CUDA) {
    weir_score_set(out, 0, "%s is no CUDA device; open device \"cuda:0\" for this plugin",
                   device->name[0] ? device->name : "this");
    return;
  }
  if (device->cc < 80) {
    weir_score_set(out, 0, "compute capability %u.%u; the kernels are made for 8.0 and up", device->cc / 10,
                   device->cc % 10);
    return;
  }
  if (!WEIR_HAS(host, weir_host, kernel_launch)) {
    weir_score_set(out, 0, "this host does not launch CUDA kernels; use a newer libweir");
    return;
  }
  if (desc->act != WEIR_ACT_INT8) {
    weir_score_set(out, 0, "act is WEIR_ACT_EXACT; activations are quantised to 8 bits here: ask for WEIR_ACT_INT8");
    return;
  }
  if (desc->k > most_k) {
    weir_score_set(out, 0, "k = %u is above %u, the most that the kernels count; cut k into parts", desc->k, most_k);
    return;
  }
  struct dp4a_layout layout;
  dp4a_layout_make(desc, &layout);
  if (layout.size > PTRDIFF_MAX) {
    weir_score_set(out, 0, "n = %u by k = %u does not fit into the address space; cut n into parts", desc->n, desc->k);
    return;
  }
  weir_score_set(out, SCORE, "dp4a, %s loads of activations, weights read once for up to %d rows of x", DP4A_LOADS,
                 DP4A_PASS);
}

/* ---- Plans -------------------------------------------------------------- */

/* Kernels of int4 at M = 1 are lean, but for groups of 16, whose scales need the registers. */
static int is_lean(const struct dp4a_layout *layout) {
  return layout->bits == 4 && layout->per64 < 4;
}

static uint32_t resident_warps(const struct dp4a_layout *layout) {
  return is_lean(layout) ? RESIDENT_WARPS_LEAN : RESIDENT_WARPS;
}

static uint32_t choose_warps(const weir_device_info *device, const struct dp4a_layout *layout) {
  uint32_t most = is_lean(layout) && layout->desc.m_max == 1 ? DP4A_WARPS_LEAN : DP4A_WARPS;
  return dp4a_warps(device->sm_count, layout->tiles, layout->steps, resident_warps(layout), most);
}

/* Staging costs a barrier before the first step and saves a trip to the L2 in each, so
 * it pays for short rows. int8 has twice the loads in flight to hide those trips behind,
 * so there it pays only for blocks that come in more than one wave. Measured on an H100
 * (us, staged and not): int4 21504x5376 24.1 and 25.2, 5376x8192 11.4 and 11.6,
 * 5376x16384 19.8 and 19.7; group 128 of 5376x21504 24.2 and 23.1; int8 8192x5376 17.8
 * and 18.4, 4096x5376 10.6 and 10.2, 5376x21504 46.1 and 43.4. */
static int staging_pays(const weir_device_info *device, const struct dp4a_layout *layout) {
  enum { SHORT_INT4 = 12288, SHORT_INT8 = 6144, BLOCKS_A_MULTIPROCESSOR = 2 };
  if (layout->bits == 4) {
    return layout->kpad <= SHORT_INT4;
  }
  return layout->kpad <= SHORT_INT8 && layout->tiles > BLOCKS_A_MULTIPROCESSOR * device->sm_count;
}

static uint32_t choose_staged_most(const weir_device_info *device, const struct dp4a_layout *layout) {
  if (!STAGES || !staging_pays(device, layout)) {
    return 0;
  }
  uint32_t available = device->smem_per_block > STATIC_SHARED ? device->smem_per_block - STATIC_SHARED : 0;
  return available < STAGED_MOST ? available : STAGED_MOST;
}

/* Bytes of act that a launch for so many rows stages: all of them or none. */
static uint32_t staged_bytes(const weir_plugin_plan *self, uint32_t rows) {
  uint64_t bytes = rows * act_row_bytes(&self->layout);
  return bytes <= self->staged_most ? (uint32_t)bytes : 0;
}

/* Every block then quantises all of x, while its first weights are on their way. So it pays
 * where all blocks run at once: of several waves each would pay anew. Measured on an H100
 * (us, in every block and apart): int4 2048x5376 4.6 and 5.3, 4096x5376 6.8 and 6.8,
 * 5376x8192 10.4 and 10.6, 8192x5376 12.8 and 11.7, 21504x5376 25.3 and 24.3, 262144x5376
 * 261 and 250; int8 4096x5376 9.9 and 9.9, 5376x8192 18.8 and 17.5. Between the other
 * kernels of a model, a launch more costs some 0.5 us on top. */
static int from_x_pays(const weir_plugin_plan *self, const weir_device_info *device) {
  enum { ROW_MOST_INT4 = 8192, ROW_MOST_INT8 = 6144 };
  const struct dp4a_layout *layout = &self->layout;
  uint32_t row_most = layout->bits == 4 ? ROW_MOST_INT4 : ROW_MOST_INT8;
  uint32_t at_once = dp4a_places(device->sm_count, resident_warps(layout), self->warps);
  uint64_t needed = act_row_bytes(layout) + STATIC_SHARED;
  return STAGES && layout->kpad <= row_most && layout->tiles <= at_once && needed <= device->smem_per_block;
}

static weir_status get_kernels(weir_plugin_plan *self, const weir_device_info *device) {
  const weir_host *host = self->host;
  const struct dp4a_layout *layout = &self->layout;
  weir_status status =
    host->kernel_get(host, device, "quantize_" DP4A_LOADS, "quantize_" DP4A_LOADS, 0, &self->quantize);
  uint32_t most = layout->desc.m_max < DP4A_PASS ? layout->desc.m_max : DP4A_PASS;
  for (uint32_t class = 0; class <= class_of(most) && status == WEIR_OK; class++) {
    uint32_t rows = 1u << class;
    uint64_t act_bytes = rows * act_row_bytes(layout);
    uint32_t shared = act_bytes < self->staged_most ? (uint32_t)act_bytes : self->staged_most;
    char ptx[48], entry[64];
    snprintf(ptx, sizeof ptx, "int%d_matvec_" DP4A_LOADS, layout->bits);
    snprintf(entry, sizeof entry, "%s_g%u_m%u", ptx, 64 / layout->per64, rows);
    status = host->kernel_get(host, device, ptx, entry, shared, &self->matvec[class]);
    if (rows == 1 && from_x_pays(self, device) && status == WEIR_OK) {
      strcat(entry, "_x");
      status = host->kernel_get(host, device, ptx, entry, (uint32_t)act_bytes, &self->from_x);
    }
  }
  return status;
}

static void plan_free(weir_plugin_plan *self) {
  if (self) {
    self->host->memory_free(self->host, self);
  }
}

static weir_status plan(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                        weir_plugin_plan **out_plan) {
  const weir_host *host = state;
  *out_plan = NULL;
  weir_plugin_plan *self = host->memory_alloc(host, sizeof *self);
  if (!self) {
    return host->fail(host, WEIR_E_NOMEM, "no memory for a plan of %zu bytes; free some and plan again", sizeof *self);
  }
  *self = (weir_plugin_plan){.host = host};
  dp4a_layout_make(desc, &self->layout);
  self->warps = choose_warps(device, &self->layout);
  self->staged_most = choose_staged_most(device, &self->layout);
  /* The kernels for sm_90 wait for the kernel before them; where it has to load others, the host drops the flag. */
  self->launch_flags = device->cc >= 90 ? WEIR_LAUNCH_PROGRAMMATIC : 0;
  weir_status status = get_kernels(self, device);
  if (status != WEIR_OK) {
    plan_free(self);
    return status;
  }
  *out_plan = self;
  return WEIR_OK;
}

static void info(const weir_plugin_plan *self, weir_matvec_info *out) {
  out->properties = WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC | WEIR_GRAPH_SAFE;
  out->packed_size = self->layout.size;
  out->packed_tag = packed_tag;
  out->act_tag = ACT_TAG;
  out->act = WEIR_ACT_INT8;
  out->align = 256;
  out->weight_bytes = self->layout.size;
  snprintf(out->kernel, sizeof out->kernel, "dp4a int%d g%u " DP4A_LOADS " %u warp%s", self->layout.bits,
           64 / self->layout.per64, self->warps, self->warps == 1 ? "" : "s");
}

static uint64_t act_size(const weir_plugin_plan *self, uint32_t m) {
  return m * act_row_bytes(&self->layout);
}

static weir_status pack(const weir_plugin_plan *self, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                        void *out_packed) {
  dp4a_pack(&self->layout, source, n0, n1, out_packed);
  return WEIR_OK;
}

/* ---- Launches ----------------------------------------------------------- */

static uint32_t element_bytes(weir_type type) {
  return type == WEIR_F32 ? 4 : 2;
}

static weir_status quantize(const weir_plugin_plan *self, const weir_quantize_args *args, weir_stream stream) {
  const struct dp4a_layout *layout = &self->layout;
  uint32_t k = layout->desc.k, kpad = layout->kpad, x_type = layout->desc.x_type;
  uint32_t threads = kpad / QUANTIZE_VALUES;
  weir_status status = WEIR_OK;
  for (uint32_t m = 0; m < args->m && status == WEIR_OK;) {
    uint32_t rows = args->m - m < GRID_Y_MOST ? args->m - m : GRID_Y_MOST;
    const uint8_t *x = (const uint8_t *)args->x + (uint64_t)m * k * element_bytes(x_type);
    uint8_t *act = (uint8_t *)args->act + m * act_row_bytes(layout);
    void *params[] = {&x, &act, &k, &kpad, &x_type};
    weir_launch launch = {
      .struct_size = sizeof launch,
      .flags = self->launch_flags,
      .grid = {(threads + QUANTIZE_THREADS - 1) / QUANTIZE_THREADS, rows, 1},
      .block = {QUANTIZE_THREADS, 1, 1},
    };
    status = self->host->kernel_launch(self->host, self->quantize, &launch, params, stream);
    m += rows;
  }
  return status;
}

/* What all passes of a call have in common. */
static struct matvec_args pass_of(const weir_plugin_plan *self, const void *packed, const void *bias) {
  const struct dp4a_layout *layout = &self->layout;
  const weir_matvec_desc *desc = &layout->desc;
  return (struct matvec_args){
    .packed = packed,
    .scales_at = layout->scales_at,
    .bias = bias,
    .n = desc->n,
    .kpad = layout->kpad,
    .groups = layout->groups,
    .group_shift = layout->group_shift,
    .format = layout->format,
    .scale_type = dp4a_packed_scale_type(layout),
    .zero_type = dp4a_packed_zero_type(layout),
    .form = desc->form,
    .y_type = desc->y_type,
    .bias_type = desc->bias_type,
    .k = desc->k,
    .x_type = desc->x_type,
  };
}

static weir_launch launch_of(const weir_plugin_plan *self) {
  return (weir_launch){
    .struct_size = sizeof(weir_launch),
    .flags = self->launch_flags,
    .grid = {self->layout.tiles, 1, 1},
    .block = {32 * self->warps, 1, 1},
  };
}

static weir_status matvec(const weir_plugin_plan *self, const weir_matvec_args *args, weir_stream stream) {
  const struct dp4a_layout *layout = &self->layout;
  const weir_matvec_desc *desc = &layout->desc;
  struct matvec_args pass = pass_of(self, args->packed, args->bias);
  void *params[] = {&pass};
  weir_launch launch = launch_of(self);
  weir_status status = WEIR_OK;
  for (uint32_t m = 0; m < args->m && status == WEIR_OK; m += pass.m) {
    pass.m = args->m - m < DP4A_PASS ? args->m - m : DP4A_PASS;
    pass.act = (const uint8_t *)args->act + m * act_row_bytes(layout);
    pass.y = (uint8_t *)args->y + (uint64_t)m * desc->n * element_bytes(desc->y_type);
    pass.staged = launch.shared_bytes = staged_bytes(self, pass.m);
    status = self->host->kernel_launch(self->host, self->matvec[class_of(pass.m)], &launch, params, stream);
  }
  return status;
}

static weir_status linear(const weir_plugin_plan *self, const weir_linear_args *args, weir_stream stream) {
  if (args->m == 1 && self->from_x) {
    struct matvec_args pass = pass_of(self, args->packed, args->bias);
    pass.m = 1;
    pass.act = args->x;
    pass.y = args->y;
    weir_launch launch = launch_of(self);
    launch.shared_bytes = (uint32_t)act_row_bytes(&self->layout);
    return self->host->kernel_launch(self->host, self->from_x, &launch, (void *[]){&pass}, stream);
  }
  const weir_quantize_args of_x = {
    .struct_size = sizeof of_x, .m = args->m, .x = args->x, .act = args->act, .act_size = args->act_size};
  const weir_matvec_args of_act = {
    .struct_size = sizeof of_act, .m = args->m, .packed = args->packed, .act = args->act, .bias = args->bias, .y = args->y};
  weir_status status = quantize(self, &of_x, stream);
  return status ? status : matvec(self, &of_act, stream);
}

/* The kernels find the members at these places. */
_Static_assert(sizeof(void *) == 8 && sizeof(struct matvec_args) == 96, "matvec_args has holes");
_Static_assert(offsetof(struct matvec_args, y) == 32 && offsetof(struct matvec_args, staged) == 84,
               "matvec_args is not packed as in the kernels");
_Static_assert(WEIR_F32 == 1 && WEIR_F16 == 2 && WEIR_BF16 == 3, "the kernels number types so");
_Static_assert(WEIR_FORM_ZERO == 0 && WEIR_FORM_MIN == 1, "the kernels number forms so");

const weir_matvec_vtable dp4a_matvec_vtable = {
  .struct_size = sizeof(weir_matvec_vtable),
  .score = score,
  .plan = plan,
  .plan_free = plan_free,
  .info = info,
  .act_size = act_size,
  .pack = pack,
  .quantize = quantize,
  .matvec = matvec,
  .linear = linear,
};
