/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_device.h"

void device_retain(weir_device *device) { atomic_fetch_add(&device->references, 1); }

void device_release(weir_device *device) {
  if (!device || atomic_fetch_sub(&device->references, 1) != 1) return;
  pool_free(device->pool);
  cuda_device_close(device->cuda);
  runtime_release(device->runtime);
  free(device);
}

static _Thread_local const weir_device *current;

weir_status device_enter(const weir_device *device, struct device_scope *out_scope) {
  *out_scope = (struct device_scope){.outer = current};
  weir_status status = device->cuda ? cuda_enter(device->cuda, &out_scope->pushed) : WEIR_OK;
  if (!status) current = device;
  return status;
}

weir_status device_enter_to_free(const weir_device *device, struct device_scope *out_scope) {
  weir_status status = device_enter(device, out_scope);
  return status ? device_enter(device, out_scope) : status;
}

void device_leave(const weir_device *device, struct device_scope scope) {
  if (device->cuda) cuda_leave(device->cuda, scope.pushed);
  current = scope.outer;
}

const weir_device *device_current(void) { return current; }

static weir_status malformed(const char *name, const char *at, const char *problem) {
  return weir_fail(WEIR_E_SYNTAX,
                   "the device \"%s\" is malformed at column %zu: %s; write cpu, cpu:isa=avx2,threads=4, cuda:0, or "
                   "cuda:sm=90,sms=132,l2=50M,smem=227K",
                   name, (size_t)(at - name) + 1, problem);
}

/* A number with an optional K, M or G (powers of 1024). */
static bool take_number(const char **at, uint64_t most, uint64_t *out_value) {
  if (**at < '0' || **at > '9') return false;
  char *end;
  errno = 0;
  unsigned long long value = strtoull(*at, &end, 10);
  if (errno) return false;
  unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  if (shift) end++;
  if (value > UINT64_MAX >> shift || value << shift > most) return false;
  *out_value = (uint64_t)value << shift;
  *at = end;
  return true;
}

static const struct {
  const char *name;
  uint32_t features;
} isas[] = {
    {"portable", 0},
    {"avx2", WEIR_CPU_AVX2},
    {"avx-vnni", WEIR_CPU_AVX2 | WEIR_CPU_AVX_VNNI},
    {"avx512", WEIR_CPU_AVX2 | WEIR_CPU_AVX512},
    {"avx512-vnni", WEIR_CPU_AVX2 | WEIR_CPU_AVX512 | WEIR_CPU_AVX512_VNNI},
};

static weir_status take_isa(const char *name, const char **at, weir_device_info *info) {
  size_t length = strcspn(*at, ",");
  for (size_t i = 0; i < COUNT_OF(isas); i++)
    if (strlen(isas[i].name) == length && memcmp(isas[i].name, *at, length) == 0) {
      if (isas[i].features & ~info->cpu_features) info->flags |= WEIR_DEVICE_SYNTHETIC;
      info->cpu_features = isas[i].features;
      *at += length;
      return WEIR_OK;
    }
  return malformed(name, *at, "the isa is none of portable, avx2, avx-vnni, avx512, avx512-vnni");
}

struct setting {
  const char *key;
  size_t offset, size;
  uint64_t most;
};
#define SETTING(key, member, most) \
  {key, offsetof(weir_device_info, member), sizeof((weir_device_info *)0)->member, most}

static const struct setting cpu_settings[] = {
    SETTING("threads", threads, 1024),
    SETTING("cache", cache_bytes, UINT64_MAX),
    SETTING("memory", memory_bytes, UINT64_MAX),
};
static const struct setting cuda_settings[] = {
    SETTING("sm", cc, 999),
    SETTING("sms", sm_count, 65535),
    SETTING("l2", cache_bytes, UINT64_MAX),
    SETTING("smem", smem_per_block, UINT32_MAX),
    SETTING("smem_sm", smem_per_sm, UINT32_MAX),
    SETTING("memory", memory_bytes, UINT64_MAX),
    SETTING("driver", driver_version, UINT32_MAX),
};

static weir_status take_setting(const char *name, const char **at, const struct setting *settings, size_t count,
                                weir_device_info *info) {
  size_t length = strcspn(*at, "=,");
  if ((*at)[length] != '=') return malformed(name, *at, "KEY=VALUE is expected here");
  if (info->kind == WEIR_DEVICE_CPU && length == 3 && memcmp(*at, "isa", 3) == 0) {
    *at += length + 1;
    return take_isa(name, at, info);
  }
  for (size_t i = 0; i < count; i++) {
    if (strlen(settings[i].key) != length || memcmp(settings[i].key, *at, length) != 0) continue;
    *at += length + 1;
    uint64_t value;
    const char *start = *at;
    if (!take_number(at, settings[i].most, &value) || value == 0)
      return malformed(name, start, "a number above 0 in range is expected here, such as 4, 227K or 50M");
    uint32_t narrow = (uint32_t)value;
    memcpy((char *)info + settings[i].offset, settings[i].size == 8 ? (void *)&value : (void *)&narrow,
           settings[i].size);
    return WEIR_OK;
  }
  return malformed(name, *at,
                   info->kind == WEIR_DEVICE_CPU ? "the key is none of isa, threads, cache, memory"
                                                 : "the key is none of sm, sms, l2, smem, smem_sm, memory, driver");
}

/* The part of `name` from `first` to `at` holds this KEY= already. */
static bool key_repeats(const char *first, const char *at) {
  size_t length = strcspn(at, "=,") + 1;
  for (const char *key = first; key < at; key += strcspn(key, ",") + 1)
    if (strncmp(key, at, length) == 0) return true;
  return false;
}

static weir_status take_settings(const char *name, const char *at, const struct setting *settings, size_t count,
                                 weir_device_info *info) {
  const char *first = at;
  for (;;) {
    if (key_repeats(first, at)) return malformed(name, at, "this key is there already");
    weir_status status = take_setting(name, &at, settings, count, info);
    if (status) return status;
    if (!*at) return WEIR_OK;
    if (*at != ',') return malformed(name, at, "a comma is expected here");
    at++;
  }
}

static weir_status describe_cpu(weir_runtime *runtime, const char *name, weir_device_info *out_info) {
  cpu_describe(out_info);
  out_info->threads = pool_threads(runtime->pool);
  if (name[3] == '\0') return WEIR_OK;
  return take_settings(name, name + 4, cpu_settings, COUNT_OF(cpu_settings), out_info);
}

static weir_status describe_cuda(weir_runtime *runtime, const char *name, weir_device_info *out_info,
                                 struct cuda_device **out_cuda) {
  *out_info = (weir_device_info){.struct_size = sizeof *out_info, .kind = WEIR_DEVICE_CUDA};
  const char *at = name[4] ? name + 5 : "0";
  uint64_t ordinal;
  if (take_number(&at, 1023, &ordinal) && !*at) return cuda_device_open(runtime, (int)ordinal, out_cuda, out_info);
  out_info->flags = WEIR_DEVICE_SYNTHETIC;
  at = name[4] ? name + 5 : "";
  weir_status status = take_settings(name, at, cuda_settings, COUNT_OF(cuda_settings), out_info);
  if (status) return status;
  if (!out_info->cc) return malformed(name, at, "sm=NUMBER (the compute capability, 90 for 9.0) is missing");
  snprintf(out_info->name, sizeof out_info->name, "%s", name);
  return WEIR_OK;
}

static bool is_kind(const char *name, const char *kind) {
  size_t length = strlen(kind);
  return strncmp(name, kind, length) == 0 && (name[length] == '\0' || name[length] == ':');
}

weir_status weir_device_open(weir_runtime *runtime, const char *name, weir_device **out_device) {
  if (!out_device) return weir_fail(WEIR_E_NULL, "weir_device_open: out_device is null");
  *out_device = NULL;
  if (!runtime || !name)
    return weir_fail(WEIR_E_NULL, "weir_device_open: %s is null", runtime ? "name" : "runtime");
  weir_device_info info;
  struct cuda_device *cuda = NULL;
  weir_status status;
  if (is_kind(name, "cpu"))
    status = describe_cpu(runtime, name, &info);
  else if (is_kind(name, "cuda"))
    status = describe_cuda(runtime, name, &info, &cuda);
  else
    status = malformed(name, name, "a device is of kind cpu or cuda");
  if (status) return status;
  weir_device *device = calloc(1, sizeof *device);
  if (!device) {
    cuda_device_close(cuda);
    return weir_fail(WEIR_E_NOMEM, "no memory for a device");
  }
  atomic_init(&device->references, 1);
  runtime_retain(runtime);
  device->runtime = runtime;
  device->info = info;
  device->cuda = cuda;
  if (info.kind == WEIR_DEVICE_CPU && info.threads != pool_threads(runtime->pool))
    status = pool_create(info.threads, &device->pool);
  if (status) {
    device_release(device);
    return status;
  }
  *out_device = device;
  return WEIR_OK;
}

void weir_device_close(weir_device *device) { device_release(device); }

weir_status weir_device_get(const weir_device *device, weir_device_info *out_info) {
  if (!device) return weir_fail(WEIR_E_NULL, "weir_device_get: device is null");
  return weir_struct_out(out_info, &device->info, sizeof device->info, "weir_device_info");
}
