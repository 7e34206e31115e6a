/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"

enum { THREADS_MOST = 1024 };

void runtime_retain(weir_runtime *runtime) { atomic_fetch_add(&runtime->references, 1); }

void runtime_release(weir_runtime *runtime) {
  if (!runtime || atomic_fetch_sub(&runtime->references, 1) != 1) return;
  registry_free(runtime);
  pool_free(runtime->pool);
  selection_free(runtime->selection);
  cuda_driver_free(runtime->cuda);
  free(runtime->plugin_path);
  free(runtime->ptx_path);
  free(runtime->cuda_library);
  lock_destroy(&runtime->log.lock);
  lock_destroy(&runtime->lock);
  free(runtime);
}

static uint32_t processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int count = CPU_COUNT(&set);
  return count < 1 ? 1 : (uint32_t)count;
}

static weir_status thread_count(const weir_options *options, uint32_t *out_threads) {
  *out_threads = options->threads;
  if (options->threads > THREADS_MOST)
    return weir_fail(WEIR_E_INVALID, "weir_options.threads is %u; use 1 to %d, or 0 for all processors",
                     options->threads, THREADS_MOST);
  if (options->threads) return WEIR_OK;
  const char *text = env_plain("WEIR_THREADS");
  if (!text) {
    *out_threads = processors();
    return WEIR_OK;
  }
  char *end = NULL;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (errno || *end || text[0] < '0' || text[0] > '9' || value < 1 || value > THREADS_MOST)
    return weir_fail(WEIR_E_SYNTAX, "WEIR_THREADS is \"%s\"; use a number from 1 to %d", text, THREADS_MOST);
  *out_threads = (uint32_t)value;
  return WEIR_OK;
}

/* The option, else the variable, else "". */
static char *copy_setting(struct log *log, const char *option, const char *variable) {
  const char *text = option ? option : env_code(log, variable);
  return text ? text_copy(text, strlen(text)) : text_copy("", 0);
}

static weir_status configure(weir_runtime *runtime, const weir_options *options) {
  weir_status status = log_init(&runtime->log, options->log ? options->log : env_plain("WEIR_LOG"),
                                options->log ? "weir_options.log" : "WEIR_LOG", options->log_fn, options->log_user);
  if (status) return status;
  const char *selection = options->selection ? options->selection : env_code(&runtime->log, "WEIR_PLUGINS");
  status = selection_parse(selection, options->selection ? "the selection" : "WEIR_PLUGINS", &runtime->selection);
  if (status) return status;
  runtime->plugin_path = copy_setting(&runtime->log, options->plugin_path, "WEIR_PLUGIN_PATH");
  runtime->ptx_path = copy_setting(&runtime->log, options->ptx_path, "WEIR_PTX_PATH");
  runtime->cuda_library = copy_setting(&runtime->log, options->cuda_library, "WEIR_CUDA_LIBRARY");
  if (!runtime->plugin_path || !runtime->ptx_path || !runtime->cuda_library)
    return weir_fail(WEIR_E_NOMEM, "no memory for the search paths");
  uint32_t threads;
  status = thread_count(options, &threads);
  if (!status) status = pool_create(threads, &runtime->pool);
  return status;
}

weir_status weir_open(const weir_options *options, weir_runtime **out_runtime) {
  if (!out_runtime) return weir_fail(WEIR_E_NULL, "weir_open: out_runtime is null; pass the address of a pointer");
  *out_runtime = NULL;
  weir_options known = {.struct_size = sizeof known};
  weir_status status = WEIR_OK;
  if (options)
    status = weir_struct_in(&known, sizeof known, options, sizeof known, "weir_options");
  if (status) return status;
  if (known.flags) return weir_fail(WEIR_E_FLAGS, "weir_options.flags is 0x%x; no flag is defined, pass 0", known.flags);
  if (known.reserved) return weir_fail(WEIR_E_INVALID, "weir_options.reserved is %u; pass 0", known.reserved);

  weir_runtime *runtime = calloc(1, sizeof *runtime);
  if (!runtime) return weir_fail(WEIR_E_NOMEM, "no memory for a runtime");
  atomic_init(&runtime->references, 1);
  lock_init(&runtime->lock);
  uint32_t admitted = 0;
  status = configure(runtime, &known);
  if (!status) status = registry_load(runtime, &admitted);
  if (status) {
    runtime_release(runtime);
    return status;
  }
  *out_runtime = runtime;
  return WEIR_OK;
}

void weir_close(weir_runtime *runtime) { runtime_release(runtime); }

weir_status weir_select(weir_runtime *runtime, const char *selection) {
  if (!runtime) return weir_fail(WEIR_E_NULL, "weir_select: runtime is null");
  struct selection *fresh;
  weir_status status = selection_parse(selection, "the selection", &fresh);
  if (status) return status;
  lock_take(&runtime->lock);
  struct selection *old = runtime->selection;
  runtime->selection = fresh;
  lock_drop(&runtime->lock);
  selection_free(old);
  return WEIR_OK;
}

weir_status weir_rescan(weir_runtime *runtime, uint32_t *out_admitted) {
  uint32_t admitted = 0;
  if (out_admitted) *out_admitted = 0;
  if (!runtime) return weir_fail(WEIR_E_NULL, "weir_rescan: runtime is null");
  lock_take(&runtime->lock);
  weir_status status = registry_load(runtime, &admitted);
  lock_drop(&runtime->lock);
  if (out_admitted) *out_admitted = admitted;
  return status;
}

uint32_t weir_plugin_count(weir_runtime *runtime) {
  if (!runtime) return 0;
  lock_take(&runtime->lock);
  uint32_t count = (uint32_t)runtime->registry.count;
  lock_drop(&runtime->lock);
  return count;
}

weir_status weir_plugin_get(weir_runtime *runtime, uint32_t index, weir_plugin_info *out_info) {
  weir_plugin_info info = {0};
  weir_status status = weir_struct_out(out_info, &info, sizeof info, "weir_plugin_info");
  if (status) return status;
  if (!runtime) return weir_fail(WEIR_E_NULL, "weir_plugin_get: runtime is null");
  lock_take(&runtime->lock);
  size_t count = runtime->registry.count;
  const struct entry *entry = index < count ? runtime->registry.entries[index] : NULL;
  lock_drop(&runtime->lock);
  if (!entry)
    return weir_fail(WEIR_E_NOTFOUND, "weir_plugin_get: there is no plugin %u; there are %zu, counted from 0", index,
                     count);
  const weir_plugin *plugin = &entry->plugin;
  info = (weir_plugin_info){
      .status = entry->status,
      .name = entry->name,
      .version = plugin->version ? plugin->version : "",
      .license = plugin->license ? plugin->license : "",
      .description = plugin->description ? plugin->description : "",
      .path = entry->path,
      .reason = entry->reason,
      .ops = entry->ops,
      .abi_major = plugin->abi_major,
      .abi_minor = plugin->abi_minor,
  };
  return weir_struct_out(out_info, &info, sizeof info, "weir_plugin_info");
}
