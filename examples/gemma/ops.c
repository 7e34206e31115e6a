/* SPDX-License-Identifier: MIT */
#include "ops.h"

weir_status gemma_ops_open(weir_device *device, uint32_t rows_most, uint32_t vocabulary, gemma_ops **out_ops) {
  weir_device_info info = {.struct_size = sizeof info};
  weir_status status = weir->device_get(device, &info);
  *out_ops = NULL;
  if (status) return status;
  if (info.kind == WEIR_DEVICE_CPU) return gemma_ops_open_cpu(device, rows_most, out_ops);
  return gemma_ops_open_cuda(device, rows_most, vocabulary, out_ops);
}
