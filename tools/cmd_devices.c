/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <weir/weir.h>

#include "args.h"
#include "commands.h"
#include "json.h"
#include "table.h"
#include "words.h"

typedef struct devices_options {
  int json;
  uint32_t threads;
} devices_options;

static const struct arg devices_args[] = {
  {"threads", 't', ARG_U32, "N", "threads of the CPU device (default: WEIR_THREADS, else all)",
   offsetof(devices_options, threads)},
  {"json", 0, ARG_FLAG, NULL, "print one JSON document", offsetof(devices_options, json)},
};
static const struct arg_command devices_command = {
  "devices", "Shows where kernels can run on this machine.", NULL, devices_args,
  sizeof devices_args / sizeof devices_args[0]};

enum { MOST_DEVICES = 65 };

typedef struct found {
  weir_device_info info[MOST_DEVICES];
  uint32_t count;
  char cuda_reason[512]; /* why there is no CUDA device; "" when there is one */
} found;

static weir_status look(weir_runtime *runtime, const char *name, found *found) {
  weir_device *device;
  weir_status status = weir_device_open(runtime, name, &device);
  if (status) return status;
  found->info[found->count].struct_size = sizeof found->info[0];
  status = weir_device_get(device, &found->info[found->count]);
  if (!status) found->count++;
  weir_device_close(device);
  return status;
}

static weir_status look_everywhere(weir_runtime *runtime, found *found) {
  weir_status status = look(runtime, "cpu", found);
  if (status) return status;
  for (int ordinal = 0; found->count < MOST_DEVICES; ordinal++) {
    char name[16];
    snprintf(name, sizeof name, "cuda:%d", ordinal);
    if (look(runtime, name, found)) {
      if (ordinal == 0) {
        snprintf(found->cuda_reason, sizeof found->cuda_reason, "%s", weir_last_error());
        for (char *at = found->cuda_reason; *at; at++)
          if (*at == '\n') *at = ' ';
      }
      break;
    }
  }
  return WEIR_OK;
}

static void name_device(const weir_device_info *info, char *out, size_t size) {
  if (info->kind == WEIR_DEVICE_CPU) snprintf(out, size, "cpu");
  else snprintf(out, size, "cuda:%d", (int)info->ordinal);
}

/* "avx2 avx-vnni", or "sm_90" */
static void name_isa(const weir_device_info *info, char *out, size_t size) {
  size_t used = 0;
  out[0] = '\0';
  if (info->kind == WEIR_DEVICE_CUDA) {
    snprintf(out, size, "sm_%u", info->cc);
    return;
  }
  for (const word *feature = words_cpu_feature; feature->text && used < size; feature++)
    if (info->cpu_features & feature->value)
      used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", feature->text);
  if (!used) snprintf(out, size, "portable");
}

static void cell_bytes(table *rows, uint64_t bytes) {
  if (bytes >= 10ull << 30) table_cell(rows, "%.0f GiB", (double)bytes / (1 << 30));
  else if (bytes >= 1ull << 30) table_cell(rows, "%.1f GiB", (double)bytes / (1 << 30));
  else table_cell(rows, "%.4g MiB", (double)bytes / (1 << 20));
}

static void print_people(const found *found) {
  static const char *const headings[] = {"device", "isa", ">threads", ">cache", ">memory", "name"};
  table *rows = table_new(headings, sizeof headings / sizeof headings[0]);

  for (uint32_t i = 0; i < found->count; i++) {
    const weir_device_info *info = &found->info[i];
    char name[24], isa[96];
    name_device(info, name, sizeof name);
    name_isa(info, isa, sizeof isa);
    table_cell(rows, "%s", name);
    table_cell(rows, "%s", isa);
    if (info->kind == WEIR_DEVICE_CPU) table_cell(rows, "%u", info->threads);
    else table_cell(rows, "%u SMs", info->sm_count);
    cell_bytes(rows, info->cache_bytes);
    cell_bytes(rows, info->memory_bytes);
    table_cell(rows, "%s", info->name);
  }
  table_print(rows, stdout);
  table_free(rows);
  if (found->cuda_reason[0]) printf("\ncuda: not available: %s\n", found->cuda_reason);
}

static void number(struct json *json, const char *key, uint64_t value) {
  json_key(json, key);
  json_uint(json, value);
}

static int print_json(const found *found) {
  struct json json;

  json_start(&json, stdout);
  json_object_begin(&json);
  json_key(&json, "weir");
  json_string(&json, weir_version());
  json_key(&json, "devices");
  json_array_begin(&json);
  for (uint32_t i = 0; i < found->count; i++) {
    const weir_device_info *info = &found->info[i];
    char device[24];
    name_device(info, device, sizeof device);
    json_object_begin(&json);
    json_key(&json, "device");
    json_string(&json, device);
    json_key(&json, "name");
    json_string(&json, info->name);
    number(&json, "memory_bytes", info->memory_bytes);
    number(&json, "cache_bytes", info->cache_bytes);
    if (info->kind == WEIR_DEVICE_CPU) {
      number(&json, "threads", info->threads);
      json_key(&json, "isa");
      json_array_begin(&json);
      for (const word *feature = words_cpu_feature; feature->text; feature++)
        if (info->cpu_features & feature->value) json_string(&json, feature->text);
      json_array_end(&json);
    } else {
      number(&json, "cc", info->cc);
      number(&json, "sm_count", info->sm_count);
      number(&json, "smem_per_block", info->smem_per_block);
      number(&json, "smem_per_sm", info->smem_per_sm);
      number(&json, "driver_version", info->driver_version);
    }
    json_object_end(&json);
  }
  json_array_end(&json);
  json_key(&json, "cuda");
  json_object_begin(&json);
  json_key(&json, "available");
  json_bool(&json, !found->cuda_reason[0]);
  json_key(&json, "reason");
  json_string(&json, found->cuda_reason);
  json_object_end(&json);
  json_object_end(&json);
  return json_finish(&json) ? 1 : 0;
}

int cmd_devices(int argc, char **argv) {
  devices_options options = {0};
  weir_options open = {.struct_size = sizeof open};
  weir_runtime *runtime;
  weir_status status;
  static found found;
  int first, result = args_parse(&devices_command, argc, argv, &options, &first);

  if (result) return result == ARGS_HELP ? 0 : 2;
  open.threads = options.threads;
  status = weir_open(&open, &runtime);
  if (status) return words_failure("devices", status);
  status = look_everywhere(runtime, &found);
  if (status) {
    result = words_failure("devices", status);
  } else if (options.json) {
    result = print_json(&found);
  } else {
    print_people(&found);
  }
  weir_close(runtime);
  return result;
}
