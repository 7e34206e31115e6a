/* SPDX-License-Identifier: MIT */

/* int4_matvec and int8_matvec: choice of the kernels, plans, and the division of a
 * call among threads. The arithmetic is in matvec_lanes.h. */
#include "matvec.h"

#include "number.h"

struct weir_plugin_plan {
  const weir_host *host;
  const struct cpu_matvec_isa *isa;
  cpu_quantize_kernel quantize;
  struct cpu_layout layout;
  weir_matvec_desc desc;
};

enum {
  TASKS_A_THREAD = 16,       /* at most, so that a thread that is held up leaves its work to others */
  SERIAL_BYTES = 32 * 1024,  /* of weights: read sooner than a second thread wakes up */
  QUANTIZE_BLOCKS = 512      /* of x a task */
};

/* ---- Choice ------------------------------------------------------------- */

static const struct cpu_matvec_isa *const isas[] = {
#if defined(__x86_64__)
  &cpu_matvec_avx512_vnni,
  &cpu_matvec_avx_vnni,
  &cpu_matvec_avx2,
#endif
  &cpu_matvec_portable,
};

static const struct cpu_matvec_isa *choose_isa(const weir_device_info *device) {
  size_t i = 0;
  while ((isas[i]->features & device->cpu_features) != isas[i]->features) {
    i++; /* ends: the last one needs nothing */
  }
  return isas[i];
}

static void score(void *state, const weir_device_info *device, const weir_matvec_desc *desc, weir_score *out) {
  (void)state;
  if (device->kind != WEIR_DEVICE_CPU) {
    weir_score_set(out, 0, "device %s is not the CPU; open device \"cpu\" for this plugin", device->name);
    return;
  }
  if (desc->act != WEIR_ACT_INT8) {
    weir_score_set(out, 0, "act is WEIR_ACT_EXACT; activations are quantised to 8 bits here: ask for WEIR_ACT_INT8");
    return;
  }
  /* At most 1.5 bytes for a weight, when a group of 16 has a scale and a zero of 4 bytes, and the padding. */
  if (((double)desc->n + CPU_TILE) * ((double)desc->k + CPU_BLOCK) * 2 > (double)(SIZE_MAX / 2)) {
    weir_score_set(out, 0, "n = %u by k = %u does not fit into the address space; cut n into parts", desc->n, desc->k);
    return;
  }
  const struct cpu_matvec_isa *isa = choose_isa(device);
  weir_score_set(out, isa->score, "%s, %d rows a tile, weights read once for up to %d rows of x", isa->name, CPU_TILE,
                 CPU_PASS);
}

/* ---- Plans -------------------------------------------------------------- */

static weir_status plan(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                        weir_plugin_plan **out_plan) {
  const weir_host *host = ((struct cpu_state *)state)->host;
  weir_plugin_plan *self = host->memory_alloc(host, sizeof *self);
  if (!self) {
    *out_plan = NULL;
    return host->fail(host, WEIR_E_NOMEM, "plugin cpu: no memory for the %zu bytes of a matvec plan", sizeof *self);
  }
  *self = (weir_plugin_plan){
    .host = host,
    .isa = choose_isa(device),
    .quantize = cpu_quantize_portable,
    .desc = *desc,
  };
#if defined(__x86_64__)
  if (device->cpu_features & WEIR_CPU_AVX2) {
    self->quantize = cpu_quantize_avx2;
  }
#endif
  cpu_layout_make(desc, &self->layout);
  *out_plan = self;
  return WEIR_OK;
}

static void plan_free(weir_plugin_plan *self) {
  self->host->memory_free(self->host, self);
}

static uint64_t packed_size(const weir_plugin_plan *self) {
  return (uint64_t)self->layout.tiles * self->layout.tile_bytes;
}

static void info(const weir_plugin_plan *self, weir_matvec_info *out) {
  weir_matvec_info filled = {
    .struct_size = out->struct_size,
    .properties = WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC,
    .packed_size = packed_size(self),
    .packed_tag = 0x31363174, /* version 1 of tiles of 16 rows, the same for every instruction set */
    .act_tag = 0x31623371,    /* version 1 of struct cpu_act_block */
    .act = WEIR_ACT_INT8,
    .align = CPU_ALIGN,
    .weight_bytes = packed_size(self),
  };
  snprintf(filled.kernel, sizeof filled.kernel, "%s int%d", self->isa->name, self->layout.bits);
  memcpy(out, &filled, out->struct_size < sizeof filled ? out->struct_size : sizeof filled);
}

/* An odd number of cache lines, so that rows of x do not fall on the same cache sets. */
static size_t act_stride(uint32_t k) {
  size_t blocks = ((size_t)k + CPU_BLOCK - 1) / CPU_BLOCK;
  size_t lines = (blocks * sizeof(struct cpu_act_block) + CPU_ALIGN - 1) / CPU_ALIGN;
  return (lines | 1) * CPU_ALIGN;
}

static uint64_t act_size(const weir_plugin_plan *self, uint32_t m) {
  return (uint64_t)m * act_stride(self->desc.k);
}

static weir_status pack(const weir_plugin_plan *self, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                        void *out_packed) {
  cpu_layout_pack(&self->layout, source, n0, n1, out_packed);
  return WEIR_OK;
}

/* ---- Quantise ----------------------------------------------------------- */

struct quantize_job {
  const weir_plugin_plan *plan;
  const weir_quantize_args *args;
  uint32_t row_tasks; /* tasks for one row of x */
};

static void quantize_task(void *arg, uint32_t index) {
  const struct quantize_job *job = arg;
  const weir_plugin_plan *self = job->plan;
  size_t row = index / job->row_tasks;
  size_t begin = (size_t)(index % job->row_tasks) * QUANTIZE_BLOCKS;
  size_t k = self->desc.k;
  size_t x_begin = begin * CPU_BLOCK;
  size_t x_count = k - x_begin < QUANTIZE_BLOCKS * CPU_BLOCK ? k - x_begin : QUANTIZE_BLOCKS * CPU_BLOCK;
  const char *x = (const char *)job->args->x + (row * k + x_begin) * number_size(self->desc.x_type);
  void *act_row = (char *)job->args->act + row * act_stride(self->desc.k);
  self->quantize(x, self->desc.x_type, x_count, (struct cpu_act_block *)act_row + begin);
}

static weir_status quantize(const weir_plugin_plan *self, const weir_quantize_args *args, weir_stream stream) {
  (void)stream;
  size_t blocks = ((size_t)self->desc.k + CPU_BLOCK - 1) / CPU_BLOCK;
  uint32_t row_tasks = (uint32_t)((blocks + QUANTIZE_BLOCKS - 1) / QUANTIZE_BLOCKS);
  struct quantize_job job = {self, args, row_tasks};
  if (args->m * blocks <= 2 * QUANTIZE_BLOCKS) {
    for (uint32_t i = 0; i < args->m * row_tasks; i++) {
      quantize_task(&job, i);
    }
    return WEIR_OK;
  }
  for (uint32_t m = 0; m < args->m;) {
    /* In steps, since m * row_tasks may be more than 32 bits hold. */
    uint32_t step = UINT32_MAX / row_tasks;
    weir_quantize_args part = *args;
    part.m = args->m - m < step ? args->m - m : step;
    part.x = (const char *)args->x + (size_t)m * self->desc.k * number_size(self->desc.x_type);
    part.act = (char *)args->act + m * act_stride(self->desc.k);
    job.args = &part;
    self->host->parallel(self->host, part.m * row_tasks, quantize_task, &job);
    m += part.m;
  }
  return WEIR_OK;
}

/* ---- Multiply ----------------------------------------------------------- */

struct matvec_job {
  const weir_plugin_plan *plan;
  const weir_matvec_args *args;
  uint32_t grain, grains; /* tiles that stay together in a task, and how many such sets there are */
  uint32_t tasks;
};

/* Writes what a kernel gave for rows [n0, n0 + count) of weights and `rows` of x, the first of them being m0. */
static void store_sums(const struct matvec_job *job, uint32_t n0, uint32_t count, uint32_t m0, uint32_t rows,
                       float *sums) {
  const weir_matvec_desc *desc = &job->plan->desc;
  float bias[CPU_TILE] = {0};
  if (desc->bias_type != WEIR_NONE) {
    for (uint32_t i = 0; i < count; i++) {
      bias[i] = number_load(job->args->bias, (size_t)n0 + i, desc->bias_type);
    }
  }
  for (uint32_t r = 0; r < rows; r++, sums += CPU_TILE) {
    size_t at = (size_t)(m0 + r) * desc->n + n0;
    if (desc->bias_type != WEIR_NONE) {
      for (uint32_t i = 0; i < CPU_TILE; i++) {
        sums[i] += bias[i];
      }
    }
    for (uint32_t i = 0; i < count; i++) {
      number_store(job->args->y, at + i, desc->y_type, sums[i]);
    }
  }
}

/* All rows of x with `streams` tiles from tile t on. */
static void walk_tiles(const struct matvec_job *job, uint32_t t, uint32_t streams) {
  const struct cpu_layout *layout = &job->plan->layout;
  const struct cpu_matvec_isa *isa = job->plan->isa;
  const cpu_matvec_kernel *kernels = layout->bits == 4 ? isa->int4[layout->halves - 1] : isa->int8[layout->halves - 1];
  struct cpu_walk walk = {
    .tile = (const uint8_t *)job->args->packed + t * layout->tile_bytes,
    .streams = (int)streams,
    .act = job->args->act,
    .act_stride = act_stride(layout->k),
  };
  for (uint32_t m0 = 0; m0 < job->args->m;) {
    uint32_t rows = job->args->m - m0 < CPU_PASS ? job->args->m - m0 : CPU_PASS;
    float sums[CPU_STREAMS * CPU_PASS * CPU_TILE];
    kernels[rows - 1](layout, &walk, sums);
    for (uint32_t s = 0; s < streams; s++) {
      uint32_t n0 = (t + s) * CPU_TILE;
      uint32_t count = layout->n - n0 < CPU_TILE ? layout->n - n0 : CPU_TILE;
      store_sums(job, n0, count, m0, rows, sums + s * rows * CPU_TILE);
    }
    walk.act += rows * walk.act_stride;
    m0 += rows;
  }
}

static void matvec_task(void *arg, uint32_t index) {
  const struct matvec_job *job = arg;
  const struct cpu_layout *layout = &job->plan->layout;
  uint32_t begin = (uint32_t)((uint64_t)job->grains * index / job->tasks) * job->grain;
  uint32_t end = (uint32_t)((uint64_t)job->grains * (index + 1) / job->tasks) * job->grain;
  if (end > layout->tiles) {
    end = layout->tiles;
  }
  for (uint32_t t = begin; t < end;) {
    uint32_t streams = end - t < CPU_STREAMS ? end - t : CPU_STREAMS;
    walk_tiles(job, t, streams);
    t += streams;
  }
}

static weir_status matvec(const weir_plugin_plan *self, const weir_matvec_args *args, weir_stream stream) {
  (void)stream;
  uint32_t tiles = self->layout.tiles, threads = self->host->thread_count(self->host);
  struct matvec_job job = {.plan = self, .args = args, .grain = CPU_STREAMS, .tasks = 1};
  /* When there are few tiles, all threads at work count for more than all streams. */
  if (tiles / CPU_STREAMS < 2 * (uint64_t)threads) {
    job.grain = 1;
  }
  job.grains = tiles / job.grain + (tiles % job.grain != 0);
  if (packed_size(self) * args->m > SERIAL_BYTES) {
    uint64_t most = (uint64_t)threads * TASKS_A_THREAD;
    job.tasks = most < job.grains ? (uint32_t)most : job.grains;
  }
  if (job.tasks == 1) {
    matvec_task(&job, 0);
  } else {
    self->host->parallel(self->host, job.tasks, matvec_task, &job);
  }
  return WEIR_OK;
}

const weir_matvec_vtable cpu_matvec_vtable = {
  .struct_size = sizeof(weir_matvec_vtable),
  .score = score,
  .plan = plan,
  .plan_free = plan_free,
  .info = info,
  .act_size = act_size,
  .pack = pack,
  .quantize = quantize,
  .matvec = matvec,
};
