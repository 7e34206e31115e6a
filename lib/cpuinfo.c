/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "internal.h"

#if defined(__x86_64__)
static uint64_t enabled_state(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

/* A feature counts only if the system also saves its registers (XCR0). */
static uint32_t features(void) {
  enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };
  uint32_t a, b, c, d, found = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
  uint64_t state = enabled_state();
  bool fma_f16c = (c & bit_FMA) && (c & bit_F16C);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if ((state & XCR0_AVX) == XCR0_AVX && fma_f16c && (b & bit_AVX2) && (b & bit_BMI2)) found |= WEIR_CPU_AVX2;
  uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  if (found && (state & XCR0_AVX512) == XCR0_AVX512 && (b & avx512) == avx512) {
    found |= WEIR_CPU_AVX512;
    if (c & bit_AVX512VNNI) found |= WEIR_CPU_AVX512_VNNI;
  }
  if (found && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4)) found |= WEIR_CPU_AVX_VNNI;
  return found;
}

static void brand(char *out, size_t size) {
  uint32_t words[13] = {0};
  if (!__get_cpuid(0x80000000u, &words[0], &words[1], &words[2], &words[3]) || words[0] < 0x80000004u) return;
  for (uint32_t leaf = 0; leaf < 3; leaf++)
    __get_cpuid(0x80000002u + leaf, &words[4 * leaf], &words[4 * leaf + 1], &words[4 * leaf + 2],
                &words[4 * leaf + 3]);
  words[12] = 0;
  const char *text = (const char *)words;
  while (*text == ' ') text++;
  snprintf(out, size, "%s", text);
  for (size_t length = strlen(out); length && out[length - 1] == ' '; length--) out[length - 1] = '\0';
}
#else
static uint32_t features(void) { return 0; }
static void brand(char *out, size_t size) { snprintf(out, size, "CPU"); }
#endif

/* The kernel knows what a virtual machine has of a cache; sysconf may tell what
 * the whole processor has. */
static uint64_t last_level_cache(void) {
  uint64_t size = 0;
  for (int index = 0; index < 8; index++) {
    char path[80], unit = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    FILE *file = fopen(path, "re");
    if (!file) break;
    unsigned long value;
    int fields = fscanf(file, "%lu%c", &value, &unit);
    fclose(file);
    uint64_t bytes = fields < 1 ? 0 : (uint64_t)value << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
    if (bytes > size) size = bytes;
  }
  if (size) return size;
  long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes <= 0) bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? (uint64_t)bytes : 0;
}

void cpu_describe(weir_device_info *out_info) {
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  *out_info = (weir_device_info){
      .struct_size = sizeof *out_info,
      .kind = WEIR_DEVICE_CPU,
      .memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0,
      .cache_bytes = last_level_cache(),
      .cpu_features = features(),
      .name = "CPU",
  };
  brand(out_info->name, sizeof out_info->name);
}
