/* SPDX-License-Identifier: MIT */

/* Attention on CUDA devices: score, plans, launches. The arithmetic is in ptx/. */

#include "sdpa.h"

#ifdef WEIR_SDPA_STANDARD
#define NAME "standard"
#else
#define NAME "split"
#endif

enum {
  SCORE_STANDARD = 210,
  SCORE_SPLIT = 220, /* where splits pay ... */
  SCORE_ALONE = 200, /* ... and where they do not */
  HEADS_MOST = 65535,   /* of a grid's second and third dimension */
  SLOTS_MOST = 1 << 30, /* and rows: counted in 32 bits, with a sign */
  SPLIT_SHIFT = 5,      /* 32 slots; fewer make more partial results than they save */
  MERGE_SLICE = 128,    /* elements of a row that a block merges */
  MERGE_THREADS = 256
};

struct weir_plugin_plan {
  const weir_host *host;
  weir_sdpa_desc desc;
  struct sdpa_shape shape;
  const weir_kernel *attend[SDPA_CLASSES];
  const weir_kernel *merge;
  uint32_t launch_flags;
  sdpa_encode_fn *encode;
};

/* ---- Score -------------------------------------------------------------- */

static const char *type_name(weir_type type) {
  return type == WEIR_F32 ? "f32" : type == WEIR_F16 ? "f16" : "bf16";
}

#ifdef WEIR_SDPA_STANDARD

static void score_fit(const struct sdpa_shape *shape, const weir_sdpa_desc *desc, weir_score *out) {
  uint32_t rows = desc->q_len_max * shape->group;
  weir_score_set(out, SCORE_STANDARD, "one pass over K and V, tiles of up to %u of %u query rows a KV head",
                 shape->kernel[sdpa_cut_for(shape, desc, desc->q_len_max).class].rows, rows);
}

#else

static void score_fit(const struct sdpa_shape *shape, const weir_sdpa_desc *desc, weir_score *out) {
  uint32_t splits = sdpa_splits_that_pay(shape, desc), rows = desc->q_len_max * shape->group;
  if (splits > 1) {
    weir_score_set(out, SCORE_SPLIT, "K and V in up to %u splits, for %u query rows a KV head on %u multiprocessors",
                   splits, rows, shape->sm_count);
  } else {
    weir_score_set(out, SCORE_ALONE, "splits do not pay: %u query rows, %u KV heads, %u slots, %u multiprocessors", rows,
                   desc->batch * desc->kv_heads, desc->kv_len_hint ? desc->kv_len_hint : desc->kv_capacity,
                   shape->sm_count);
  }
}

#endif

static void score(void *state, const weir_device_info *device, const weir_sdpa_desc *desc, weir_score *out) {
  const weir_host *host = state;
  struct sdpa_shape shape;
  if (device->kind != WEIR_DEVICE_CUDA) {
    weir_score_set(out, 0, "%s is no CUDA device; open device \"cuda:0\" for this plugin",
                   device->name[0] ? device->name : "this");
  } else if (device->cc < 80) {
    weir_score_set(out, 0, "compute capability %u.%u; the kernels are made for 8.0 and up", device->cc / 10,
                   device->cc % 10);
  } else if (device->cc >= 90 && device->driver_version && device->driver_version < 12000) {
    weir_score_set(out, 0, "CUDA driver %u.%u; the kernels for compute capability 9.0 and up need 12.0 or newer",
                   device->driver_version / 1000, device->driver_version % 1000 / 10);
  } else if (!WEIR_HAS(host, weir_host, kernel_launch)) {
    weir_score_set(out, 0, "this host does not launch CUDA kernels; use a newer libweir");
  } else if (desc->q_type != desc->kv_type || desc->q_type == WEIR_F32) {
    weir_score_set(out, 0, "q is %s and k, v are %s; the tensor cores want both bf16 or both f16",
                   type_name(desc->q_type), type_name(desc->kv_type));
  } else if (desc->batch > HEADS_MOST || desc->kv_heads > HEADS_MOST) {
    weir_score_set(out, 0, "batch %u and %u KV heads; at most %d each fit into a launch", desc->batch, desc->kv_heads,
                   HEADS_MOST);
  } else if (desc->kv_capacity > SLOTS_MOST ||
             (uint64_t)desc->q_len_max * desc->q_heads > SLOTS_MOST) {
    weir_score_set(out, 0, "%u slots, %u queries of %u heads; the kernels count to %d", desc->kv_capacity,
                   desc->q_len_max, desc->q_heads, SLOTS_MOST);
  } else if (sdpa_shape_make(device, desc, &shape)) {
    weir_score_set(out, 0, "%u bytes of shared memory in a block; head dimension %u needs %u", device->smem_per_block,
                   desc->head_dim,
                   (unsigned)SDPA_TILE_SHARED(shape.dim, 16, SDPA_BUFFERS_LEAST));
  } else {
    score_fit(&shape, desc, out);
  }
}

/* ---- Plans -------------------------------------------------------------- */

static void plan_free(weir_plugin_plan *self) {
  if (self) {
    self->host->memory_free(self->host, self);
  }
}

static weir_status get_kernels(weir_plugin_plan *self, const weir_device_info *device) {
  const weir_host *host = self->host;
  char name[32], ptx[40], entry[48];
  weir_status status = WEIR_OK;
  snprintf(name, sizeof name, "sdpa_%s_d%u", type_name(self->desc.kv_type), self->shape.dim);
  for (int class = 0; class < SDPA_CLASSES && status == WEIR_OK; class++) {
    const struct sdpa_kernel *kernel = &self->shape.kernel[class];
    if (kernel->rows == 0) {
      continue;
    }
    snprintf(ptx, sizeof ptx, "%s", name);
    if (class != SDPA_MANY) {
      snprintf(entry, sizeof entry, "%s_r%u", name, kernel->rows);
    } else if (self->shape.dim < 512) {
      snprintf(entry, sizeof entry, "%s_prefill", name);
    } else {
      snprintf(ptx, sizeof ptx, "%s_wgmma", name);
      snprintf(entry, sizeof entry, "%s_wgmma", name);
    }
    status = host->kernel_get(host, device, ptx, entry, kernel->shared, &self->attend[class]);
  }
  if (status == WEIR_OK && sdpa_workspace(&self->shape, &self->desc, self->desc.q_len_max)) {
    status = host->kernel_get(host, device, "sdpa_merge", "sdpa_merge", 0, &self->merge);
  }
  return status;
}

static weir_status plan(void *state, const weir_device_info *device, const weir_sdpa_desc *desc,
                        weir_plugin_plan **out_plan) {
  const weir_host *host = state;
  *out_plan = NULL;
  weir_plugin_plan *self = host->memory_alloc(host, sizeof *self);
  if (!self) {
    return host->fail(host, WEIR_E_NOMEM, "no memory for a plan of %zu bytes; free some and plan again", sizeof *self);
  }
  *self = (weir_plugin_plan){.host = host, .desc = *desc};
  sdpa_shape_make(device, desc, &self->shape);
  /* The kernels for sm_90 wait for the kernel before them; where it has to load others, the host drops the flag. */
  self->launch_flags = device->cc >= 90 ? WEIR_LAUNCH_PROGRAMMATIC : 0;
  weir_status status = get_kernels(self, device);
  self->encode = sdpa_encode_of(host, device);
  if (status != WEIR_OK) {
    plan_free(self);
    return status;
  }
  *out_plan = self;
  return WEIR_OK;
}

static void info(const weir_plugin_plan *self, weir_sdpa_info *out) {
  out->properties = WEIR_DETERMINISTIC | WEIR_GRAPH_SAFE;
  out->align = 256;
  out->reserved = 0;
  snprintf(out->kernel, sizeof out->kernel, NAME " %s d%u", type_name(self->desc.kv_type), self->shape.dim);
}

static uint64_t workspace_size(const weir_plugin_plan *self, uint32_t q_len) {
  return sdpa_workspace(&self->shape, &self->desc, q_len);
}

/* ---- Launches ----------------------------------------------------------- */

/* A stride of a dimension of size 1 is not read. */
static void copy_strides(const int64_t from[3], uint32_t n0, uint32_t n1, uint32_t n2, int64_t out_to[3]) {
  out_to[0] = n0 > 1 ? from[0] : 0;
  out_to[1] = n1 > 1 ? from[1] : 0;
  out_to[2] = n2 > 1 ? from[2] : 0;
}

static int is_aligned(const void *memory, const int64_t stride[3], uint32_t element, uint32_t bytes) {
  uint64_t all = (uint64_t)(uintptr_t)memory;
  for (int i = 0; i < 3; i++) {
    all |= (uint64_t)stride[i] * element;
  }
  return all % bytes == 0;
}

static struct sdpa_kernel_args arguments(const weir_plugin_plan *self, const weir_sdpa_args *args,
                                         const struct sdpa_cut *cut) {
  const weir_sdpa_desc *desc = &self->desc;
  const struct sdpa_kernel *kernel = &self->shape.kernel[cut->class];
  struct sdpa_kernel_args a = {
      .q = args->q,
      .k = args->k,
      .v = args->v,
      .mask = args->mask,
      .o = args->o,
      .partial = cut->splits > 1 ? args->workspace : NULL,
      .kv_len_device = desc->flags & WEIR_SDPA_KV_LEN ? args->kv_len_device : NULL,
      .group = sdpa_divisor_of(self->shape.group),
      .kv_heads = desc->kv_heads,
      .batch = desc->batch,
      .head_dim = desc->head_dim,
      .q_len = args->q_len,
      .kv_len = desc->flags & WEIR_SDPA_KV_LEN ? 0 : args->kv_len,
      .kv_capacity = desc->kv_capacity,
      .window = desc->window < desc->kv_capacity ? desc->window : 0, /* a wider one drops nothing */
      .mask_type = desc->mask,
      .o_type = desc->o_type,
      .scale = desc->softcap != 0 ? desc->scale : (float)(desc->scale * 1.44269504088896340736),
      .softcap = desc->softcap,
      .row_tiles = cut->row_tiles,
      .tile_rows = kernel->rows,
      .tile_shift = kernel->rows == 128 ? 7 : kernel->rows == 64 ? 6 : kernel->rows == 32 ? 5 : 4,
      .splits = sdpa_divisor_of(cut->splits),
      .split_shift = SPLIT_SHIFT,
      .buffers = kernel->buffers,
  };
  copy_strides(args->q_stride, desc->batch, desc->q_heads, args->q_len, a.q_stride);
  copy_strides(args->k_stride, desc->batch, desc->kv_heads, desc->kv_capacity, a.k_stride);
  copy_strides(args->v_stride, desc->batch, desc->kv_heads, desc->kv_capacity, a.v_stride);
  copy_strides(args->o_stride, desc->batch, desc->q_heads, args->q_len, a.o_stride);
  copy_strides(args->mask_stride, desc->batch, desc->q_heads, args->q_len, a.mask_stride);
  a.flags = (desc->flags & WEIR_SDPA_CAUSAL ? SDPA_IS_CAUSAL : 0u) |
            (is_aligned(a.q, a.q_stride, 2, 16) ? SDPA_Q_BY_16 : 0u) |
            (is_aligned(a.k, a.k_stride, 2, 16) && is_aligned(a.v, a.v_stride, 2, 16) ? SDPA_KV_BY_16 : 0u) |
            (is_aligned(a.o, a.o_stride, 2, 8) ? SDPA_O_BY_8 : 0u);
  if (cut->class != SDPA_MANY) {
    sdpa_map(self->encode, SDPA_TILE_SLOTS(self->shape.dim), &a);
  }
  return a;
}

static weir_status sdpa(const weir_plugin_plan *self, const weir_sdpa_args *args, weir_stream stream) {
  const weir_sdpa_desc *desc = &self->desc;
  struct sdpa_cut cut = sdpa_cut_for(&self->shape, desc, args->q_len);
  struct sdpa_kernel_args a = arguments(self, args, &cut);
  void *params[] = {&a};
  weir_launch launch = {
      .struct_size = sizeof launch,
      .flags = self->launch_flags,
      .grid = {cut.row_tiles * cut.splits, desc->kv_heads, desc->batch},
      .block = {self->shape.kernel[cut.class].threads, 1, 1},
      .shared_bytes = self->shape.kernel[cut.class].shared,
  };
  if (cut.class == SDPA_MANY && self->shape.dim < 512) { /* KV heads side by side: see ptx/sdpa_prefill.cuh */
    launch.grid[0] *= desc->kv_heads;
    launch.grid[1] = 1;
  } else if (cut.class == SDPA_MANY) { /* pairs of blocks, as many as there is room for at a time: ptx/sdpa_pair.cuh */
    uint64_t tiles = (uint64_t)cut.row_tiles * desc->kv_heads * desc->batch;
    uint32_t pairs = self->shape.sm_count > 1 ? self->shape.sm_count / 2 : 1;
    launch.grid[0] = 2 * (tiles < pairs ? (uint32_t)tiles : pairs);
    launch.grid[1] = launch.grid[2] = 1;
  }
  weir_status status = self->host->kernel_launch(self->host, self->attend[cut.class], &launch, params, stream);
  if (status == WEIR_OK && cut.splits > 1) {
    uint32_t slices = (desc->head_dim + MERGE_SLICE - 1) / MERGE_SLICE;
    launch.grid[0] = args->q_len * self->shape.group * slices;
    launch.block[0] = MERGE_THREADS;
    launch.shared_bytes = 0;
    status = self->host->kernel_launch(self->host, self->merge, &launch, params, stream);
  }
  return status;
}

/* The kernels find the members at these places. */
_Static_assert(sizeof(void *) == 8 && sizeof(struct sdpa_kernel_args) == 576, "sdpa_kernel_args has holes");
_Static_assert(WEIR_F32 == 1 && WEIR_F16 == 2 && WEIR_BF16 == 3, "the kernels number types so");
_Static_assert(WEIR_MASK_BOOL == 1 && WEIR_MASK_F32 == 2 && WEIR_MASK_F16 == 3 && WEIR_MASK_BF16 == 4,
               "the kernels number masks so");

const weir_sdpa_vtable cuda_sdpa_vtable = {
    .struct_size = sizeof(weir_sdpa_vtable),
    .score = score,
    .plan = plan,
    .plan_free = plan_free,
    .info = info,
    .workspace_size = workspace_size,
    .sdpa = sdpa,
};
