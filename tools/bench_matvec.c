/* SPDX-License-Identifier: MIT */
#include "bench_matvec.h"

#include <stdlib.h>
#include <string.h>

#include "bench_pack.h"
#include "number.h"

enum { COPY_ALIGN = 4096 };
static const double act_int8_floor_db = 40;

weir_status bench_matvec_plan(bench *bench, const bench_side *side, const weir_matvec_desc *desc,
                              bench_matvec *out_matvec) {
  weir_status status;
  *out_matvec = (bench_matvec){.device = bench->device,
                               .stream = bench->stream,
                               .in_host_memory = bench->info.kind == WEIR_DEVICE_CPU,
                               .desc = *desc,
                               .info = {.struct_size = sizeof(weir_matvec_info)}};
  status = bench_plan_matvec(bench, side, desc, &out_matvec->plan);
  if (!status) status = weir_matvec_get(out_matvec->plan, &out_matvec->info);
  if (status) bench_matvec_close(out_matvec);
  return status;
}

weir_status bench_matvec_pack(bench_matvec *matvec, const bench_weights *weights, uint32_t copies) {
  weir_matvec_source source = {
    .struct_size = sizeof source, .codes = weights->codes, .scales = weights->scales, .zeros = weights->zeros};
  const weir_matvec_desc *desc = &matvec->desc;
  uint64_t size = matvec->info.packed_size;
  void *host = NULL;
  weir_status status;

  matvec->copies = copies;
  matvec->stride = (size + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
  matvec->workspace_size = weir_workspace_size(matvec->plan, desc->m_max);
  status = weir_memory_alloc(matvec->device, matvec->stride * copies, (void **)&matvec->packed);
  if (!status) status = bench_zeroed(matvec->device, matvec->stream, matvec->workspace_size, &matvec->workspace);
  if (!status)
    status = bench_zeroed(matvec->device, matvec->stream, (uint64_t)desc->m_max * desc->n * number_size(desc->y_type),
                          &matvec->y);
  if (status) return status;
  if (matvec->in_host_memory) host = matvec->packed;
  else if (posix_memalign(&host, COPY_ALIGN, size + 1)) return BENCH_NOMEM;
  status = bench_pack(matvec->plan, desc, &source, host, size);
  for (uint32_t i = matvec->in_host_memory; i < copies && !status; i++)
    status = weir_memory_upload(matvec->device, matvec->packed + i * matvec->stride, host, size, matvec->stream);
  if (!status) status = weir_synchronize(matvec->device, matvec->stream);
  if (!matvec->in_host_memory) free(host);
  return status;
}

weir_status bench_matvec_call(bench_matvec *matvec, const void *act, uint32_t m) {
  weir_matvec_args args = {.struct_size = sizeof args,
                           .m = m,
                           .packed = matvec->packed + matvec->next * matvec->stride,
                           .act = act,
                           .y = matvec->y,
                           .workspace = matvec->workspace,
                           .workspace_size = matvec->workspace_size};
  matvec->next = matvec->next + 1 < matvec->copies ? matvec->next + 1 : 0;
  return weir_matvec(matvec->plan, &args, matvec->stream);
}

weir_status bench_linear_call(bench_matvec *matvec, const bench_act *act, uint32_t m) {
  weir_linear_args args = {.struct_size = sizeof args,
                           .m = m,
                           .packed = matvec->packed + matvec->next * matvec->stride,
                           .x = act->x,
                           .y = matvec->y,
                           .act = act->memory,
                           .act_size = act->size,
                           .workspace = matvec->workspace,
                           .workspace_size = matvec->workspace_size};
  matvec->next = matvec->next + 1 < matvec->copies ? matvec->next + 1 : 0;
  return weir_linear(matvec->plan, &args, matvec->stream);
}

/* The latest result, in new host memory. */
static weir_status fetch(const bench_matvec *matvec, uint32_t m, void **out_y, uint64_t *out_bytes) {
  weir_status status;
  *out_bytes = (uint64_t)m * matvec->desc.n * number_size(matvec->desc.y_type);
  *out_y = malloc(*out_bytes);
  status = *out_y ? weir_memory_download(matvec->device, *out_y, matvec->y, *out_bytes, matvec->stream) : BENCH_NOMEM;
  if (!status) status = weir_synchronize(matvec->device, matvec->stream);
  if (status) {
    free(*out_y);
    *out_y = NULL;
  }
  return status;
}

weir_status bench_matvec_check(bench_matvec *matvec, uint32_t m, const bench_truth *truth, bench_error *error) {
  uint64_t bytes;
  weir_status status;
  free(matvec->first);
  status = fetch(matvec, m, &matvec->first, &bytes);
  if (status) return status;
  bench_truth_compare(truth, matvec->desc.y_type, matvec->first, error);
  if (matvec->desc.act == WEIR_ACT_INT8) error->floor_db = act_int8_floor_db;
  return WEIR_OK;
}

weir_status bench_matvec_recheck(const bench_matvec *matvec, uint32_t m, bench_error *error) {
  uint64_t bytes;
  void *y;
  weir_status status = fetch(matvec, m, &y, &bytes);
  if (status) return status;
  if ((matvec->info.properties & WEIR_DETERMINISTIC) != 0 && matvec->first && memcmp(y, matvec->first, bytes) != 0)
    error->unequal = true;
  free(y);
  return WEIR_OK;
}

weir_status bench_matvec_poison(const bench_matvec *matvec, uint32_t m) {
  uint64_t bytes = (uint64_t)m * matvec->desc.n * number_size(matvec->desc.y_type);
  return weir_memory_fill(matvec->device, matvec->y, 0xff, bytes, matvec->stream);
}

void bench_matvec_close(bench_matvec *matvec) {
  weir_memory_free(matvec->device, matvec->packed);
  weir_memory_free(matvec->device, matvec->workspace);
  weir_memory_free(matvec->device, matvec->y);
  weir_plan_free(matvec->plan);
  free(matvec->first);
  *matvec = (bench_matvec){0};
}

weir_status bench_act_open(const bench_matvec *matvec, const void *x, uint32_t m, bench_act *out_act) {
  uint64_t bytes = (uint64_t)m * matvec->desc.k * number_size(matvec->desc.x_type);
  weir_status status;
  *out_act = (bench_act){.device = matvec->device,
                         .stream = matvec->stream,
                         .plan = matvec->plan,
                         .tag = matvec->info.act_tag,
                         .k = matvec->desc.k,
                         .size = weir_act_size(matvec->plan, m)};
  status = bench_upload(matvec->device, matvec->stream, x, bytes, &out_act->x);
  if (!status) status = bench_zeroed(matvec->device, matvec->stream, out_act->size, &out_act->memory);
  if (status) bench_act_close(out_act);
  return status;
}

bool bench_act_serves(const bench_act *act, const bench_matvec *matvec) {
  return act->plan == matvec->plan || (act->tag && act->tag == matvec->info.act_tag && act->k == matvec->desc.k);
}

weir_status bench_act_call(const bench_act *act, uint32_t m) {
  weir_quantize_args args = {
    .struct_size = sizeof args, .m = m, .x = act->x, .act = act->memory, .act_size = act->size};
  return weir_quantize(act->plan, &args, act->stream);
}

void bench_act_close(bench_act *act) {
  weir_memory_free(act->device, act->x);
  weir_memory_free(act->device, act->memory);
  *act = (bench_act){0};
}
