/* SPDX-License-Identifier: MIT */

/* A host that knows only <weir/weir.h> and opens the library at run time:
 *   cc host.c -ldl && ./a.out [libweir.so.0]
 * It multiplies a 64 x 128 int4 matrix of ones (code 9, zero 8, scale 1) by ones,
 * so every result is 128. WEIR_PLUGINS=int4_matvec=ref ./a.out uses another plugin. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/weir.h>

enum { N = 64, K = 128, GROUP = 32 };

int main(int argc, char **argv) {
  void *library = dlopen(argc > 1 ? argv[1] : "libweir.so.0", RTLD_NOW);
  weir_get_api_fn get_api = library ? (weir_get_api_fn)(intptr_t)dlsym(library, "weir_get_api") : NULL;
  const weir_api *weir = get_api ? get_api(WEIR_ABI_MAJOR) : NULL;
  if (!weir) return fprintf(stderr, "no libweir: %s\n", library ? "wrong ABI" : dlerror()), 1;

  static uint8_t codes[N * K / 2];
  static float scales[N * K / GROUP], x[K], y[N];
  memset(codes, 0x99, sizeof codes);
  for (int i = 0; i < N * K / GROUP; i++) scales[i] = 1;
  for (int i = 0; i < K; i++) x[i] = 1;

  weir_runtime *runtime = NULL;
  weir_device *cpu = NULL;
  weir_plan *plan = NULL;
  weir_matvec_desc desc = {.struct_size = sizeof desc, .op = WEIR_OP_INT4_MATVEC, .n = N, .k = K, .m_max = 1,
                           .group = GROUP, .scale_type = WEIR_F32, .x_type = WEIR_F32, .y_type = WEIR_F32};
  weir_matvec_info info = {.struct_size = sizeof info};
  weir_matvec_source weights = {.struct_size = sizeof weights, .codes = codes, .scales = scales};
  weir_status status = weir->open(NULL, &runtime);
  if (!status) status = weir->device_open(runtime, "cpu", &cpu);
  if (!status) status = weir->plan_matvec(cpu, &desc, &plan);
  if (!status) status = weir->matvec_get(plan, &info);

  void *packed = NULL, *act = NULL;
  uint64_t act_size = plan ? weir->act_size(plan, 1) : 0;
  if (!status) status = weir->memory_alloc(cpu, info.packed_size, &packed);
  if (!status) status = weir->memory_alloc(cpu, act_size, &act);
  if (!status) status = weir->pack(plan, &weights, 0, N, packed, info.packed_size);
  if (!status)
    status = weir->linear(plan, &(weir_linear_args){.struct_size = sizeof(weir_linear_args), .m = 1, .packed = packed,
                                                    .x = x, .y = y, .act = act, .act_size = act_size}, NULL);
  if (status)
    fprintf(stderr, "%s: %s\n", weir->status_name(status), weir->last_error());
  else
    printf("%s computed y[0] = %g, y[%d] = %g\n", weir->plan_plugin(plan), y[0], N - 1, y[N - 1]);

  weir->memory_free(cpu, act);
  weir->memory_free(cpu, packed);
  weir->plan_free(plan);
  weir->device_close(cpu);
  weir->close(runtime);
  return status || y[0] != K || y[N - 1] != K;
}
