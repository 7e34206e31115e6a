/* SPDX-License-Identifier: MIT */

/* Attention on the CPU: plan, cut the work, run it, merge.
 *
 * The query rows that share a KV head - the heads of its group at each query
 * position, position by position - are numbered 0 .. q_len * group - 1 and cut
 * into tiles of rows. An item of work is one tile of rows with one KV head of one
 * batch and one stretch of its slots:
 *
 *     for each tile of slots in the stretch           K and V are read once
 *       which slots does each row attend?             bits; dead tiles are skipped
 *       weight = dot(q, k)                            all rows of the tile
 *       max' = max(max, scores)
 *       weight = exp(score - max'), rescale = exp(max - max')
 *       sum = sum * rescale + weight * v              f32, tile by tile
 *
 * with the true maximum, so any finite score will do. K and V of a slot that a row
 * does not attend never enter its sums, not even times 0: they may hold NaN.
 *
 * Where there are too few items for the threads, the slots are cut into stretches
 * (splits); each leaves (sum, max, total) in the workspace, and a second pass adds
 * those of a row up in their order. The cut depends on shapes and the number of
 * threads, never on who is faster, so equal inputs give equal bits. Workers, one a
 * thread, take items from a counter, later queries first: under causal they have
 * more to do. Each worker has its scratch in the workspace. */

#include <stdio.h>

#include "number.h"
#include "sdpa.h"

enum {
  ITEMS_PER_THREAD = 4, /* below, slots are split */
  MERGE_ALONE = 1 << 16 /* floats of partial sums that one thread merges faster than several */
};

/* ---- Cutting ------------------------------------------------------------ */

static struct sdpa_cut cut_for(const weir_plugin_plan *plan, uint64_t q_len) {
  const weir_sdpa_desc *desc = &plan->desc;
  struct sdpa_cut cut = {.group_rows = q_len * plan->group, .splits = 1};
  cut.rows = (uint32_t)sdpa_min(plan->rows_max, cut.group_rows);
  cut.tiles = sdpa_ceil_div(cut.group_rows, cut.rows);
  uint64_t base = (uint64_t)desc->batch * desc->kv_heads * cut.tiles;
  uint64_t wanted = (uint64_t)plan->threads * ITEMS_PER_THREAD;
  if (plan->threads > 1 && base < wanted) {
    uint64_t reach = desc->window > 0 ? (uint64_t)desc->window + cut.rows : desc->kv_capacity;
    uint64_t most = sdpa_ceil_div(sdpa_min(reach, desc->kv_capacity), SDPA_SPLIT_MIN);
    cut.splits = (uint32_t)sdpa_min(sdpa_ceil_div(wanted, base), most > 0 ? most : 1);
  }
  cut.items = base * cut.splits;
  cut.workers = (uint32_t)sdpa_min(plan->threads, cut.items);
  cut.scratch = cpu_sdpa_scratch_size(plan, cut.rows);
  if (cut.splits > 1) {
    cut.partials = desc->batch * desc->kv_heads * cut.group_rows * cut.splits * cpu_sdpa_partial_size(plan);
  }
  return cut;
}

static uint64_t cut_bytes(const struct sdpa_cut *cut) {
  return cut->workers * cut->scratch + cut->partials * sizeof(float);
}

/* What serves q_len queries must serve fewer, which may be split more. Within one
 * number of tiles the size grows with q_len, so the longest of each is asked. */
static uint64_t workspace_size(const weir_plugin_plan *plan, uint32_t q_len) {
  uint64_t most = 0;
  uint64_t asked = 0;
  for (uint64_t tiles = 1; asked < q_len; tiles++) {
    struct sdpa_cut cut;
    asked = tiles * plan->rows_max / plan->group;
    if (asked == 0) {
      continue;
    }
    asked = sdpa_min(asked, q_len);
    cut = cut_for(plan, asked);
    most = cut_bytes(&cut) > most ? cut_bytes(&cut) : most;
    if (cut.rows == plan->rows_max && cut.splits == 1 && cut.workers == plan->threads) {
      break; /* longer calls are cut alike */
    }
  }
  return most;
}

/* ---- The operation ------------------------------------------------------ */

static void run(struct sdpa_call *call, weir_task_fn task, uint32_t workers) {
  if (workers == 1) {
    task(call, 0);
  } else {
    call->plan->host->parallel(call->plan->host, workers, task, call);
  }
}

static weir_status sdpa(const weir_plugin_plan *plan, const weir_sdpa_args *args, weir_stream stream) {
  (void)stream;
  struct sdpa_call call = {.plan = plan, .args = args, .cut = cut_for(plan, args->q_len), .scratch = args->workspace};
  call.partials = (void *)(call.scratch + call.cut.workers * call.cut.scratch);
  run(&call, cpu_sdpa_work, call.cut.workers);
  if (call.cut.splits > 1) {
    if (call.cut.partials <= MERGE_ALONE) {
      call.cut.workers = 1;
    }
    run(&call, cpu_sdpa_merge, call.cut.workers);
  }
  return WEIR_OK;
}

static const struct sdpa_kernels *kernels_for(const weir_device_info *device) {
  return cpu_sdpa_avx2 && device->cpu_features & WEIR_CPU_AVX2 ? cpu_sdpa_avx2 : &cpu_sdpa_portable;
}

static uint32_t rows_for(const weir_sdpa_desc *desc) {
  return desc->head_dim > 256 ? 32 : 64; /* q and two sums in L2 */
}

static uint32_t pitch_for(const weir_sdpa_desc *desc) {
  return desc->head_dim > 128 ? 32 : SDPA_TILE_MAX; /* K of a tile in L1 */
}

static void score(void *state, const weir_device_info *device, const weir_sdpa_desc *desc, weir_score *out) {
  (void)state;
  if (device->kind != WEIR_DEVICE_CPU) {
    weir_score_set(out, 0, "works on the cpu device only; open \"cpu\"");
    return;
  }
  const struct sdpa_kernels *kernels = kernels_for(device);
  weir_score_set(out, kernels->score, "%s, one pass over K and V, tiles of %u query rows and %u slots", kernels->name,
                 rows_for(desc), pitch_for(desc));
}

static weir_status plan_sdpa(void *state, const weir_device_info *device, const weir_sdpa_desc *desc,
                             weir_plugin_plan **out_plan) {
  static const weir_type mask_types[] = {[WEIR_MASK_NONE] = WEIR_NONE,
                                         [WEIR_MASK_BOOL] = WEIR_U8,
                                         [WEIR_MASK_F32] = WEIR_F32,
                                         [WEIR_MASK_F16] = WEIR_F16,
                                         [WEIR_MASK_BF16] = WEIR_BF16};
  const weir_host *host = ((const struct cpu_state *)state)->host;
  *out_plan = host->memory_alloc(host, sizeof **out_plan);
  if (!*out_plan) {
    return host->fail(host, WEIR_E_NOMEM, "cpu sdpa: no memory for a plan of %zu bytes; free some and plan again",
                      sizeof **out_plan);
  }
  **out_plan = (weir_plugin_plan){
      .host = host,
      .kernels = kernels_for(device),
      .desc = *desc,
      .group = desc->q_heads / desc->kv_heads,
      .threads = host->thread_count(host),
      .rows_max = rows_for(desc),
      .pitch = pitch_for(desc),
      .q_bytes = number_size(desc->q_type),
      .kv_bytes = number_size(desc->kv_type),
      .o_bytes = number_size(desc->o_type),
      .mask_bytes = number_size(mask_types[desc->mask]),
  };
  return WEIR_OK;
}

static void plan_free(weir_plugin_plan *plan) {
  plan->host->memory_free(plan->host, plan);
}

static void info(const weir_plugin_plan *plan, weir_sdpa_info *out) {
  out->properties = WEIR_DETERMINISTIC;
  out->align = SDPA_ALIGN;
  out->reserved = 0;
  snprintf(out->kernel, sizeof out->kernel, "%s attention", plan->kernels->name);
}

const weir_sdpa_vtable cpu_sdpa_vtable = {
    .struct_size = sizeof(weir_sdpa_vtable),
    .score = score,
    .plan = plan_sdpa,
    .plan_free = plan_free,
    .info = info,
    .workspace_size = workspace_size,
    .sdpa = sdpa,
};
