/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "internal.h"

static const weir_api api = {
    .struct_size = sizeof api,
    .abi_major = WEIR_ABI_MAJOR,
    .abi_minor = WEIR_ABI_MINOR,
    .last_error = weir_last_error,
    .status_name = weir_status_name,
    .version = weir_version,
    .open = weir_open,
    .close = weir_close,
    .select = weir_select,
    .rescan = weir_rescan,
    .plugin_count = weir_plugin_count,
    .plugin_get = weir_plugin_get,
    .device_open = weir_device_open,
    .device_close = weir_device_close,
    .device_get = weir_device_get,
    .memory_alloc = weir_memory_alloc,
    .memory_free = weir_memory_free,
    .memory_upload = weir_memory_upload,
    .memory_download = weir_memory_download,
    .memory_fill = weir_memory_fill,
    .synchronize = weir_synchronize,
    .plan_matvec = weir_plan_matvec,
    .plan_sdpa = weir_plan_sdpa,
    .plan_free = weir_plan_free,
    .plan_plugin = weir_plan_plugin,
    .explain_matvec = weir_explain_matvec,
    .explain_sdpa = weir_explain_sdpa,
    .matvec_get = weir_matvec_get,
    .sdpa_get = weir_sdpa_get,
    .act_size = weir_act_size,
    .workspace_size = weir_workspace_size,
    .pack = weir_pack,
    .quantize = weir_quantize,
    .matvec = weir_matvec,
    .sdpa = weir_sdpa,
    .gguf_open = weir_gguf_open,
    .gguf_close = weir_gguf_close,
    .gguf_tensor_count = weir_gguf_tensor_count,
    .gguf_tensor = weir_gguf_tensor,
    .gguf_find = weir_gguf_find,
    .gguf_int = weir_gguf_int,
    .gguf_float = weir_gguf_float,
    .gguf_string = weir_gguf_string,
    .gguf_array_count = weir_gguf_array_count,
    .gguf_array_int = weir_gguf_array_int,
    .gguf_array_float = weir_gguf_array_float,
    .gguf_array_string = weir_gguf_array_string,
    .import_describe = weir_import_describe,
    .import_rows = weir_import_rows,
    .tensor_rows = weir_tensor_rows,
};

const weir_api *weir_get_api(uint32_t major) {
  if (major == WEIR_ABI_MAJOR) return &api;
  weir_fail(WEIR_E_ABI,
            "the host asks for weir ABI %u, and this libweir %s speaks %d.%d; "
            "install a libweir of ABI %u or rebuild the host with this one's <weir/weir.h>",
            major, PACKAGE_VERSION, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, major);
  return NULL;
}
