/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Assertions --------------------------------------------------------- */

static bool has_number(const char *text, const char *number) {
  size_t length = strlen(number);
  for (const char *at = text; (at = strstr(at, number)) != NULL; at++) {
    bool starts = at == text || !isdigit((unsigned char)at[-1]);
    if (starts && !isdigit((unsigned char)at[length])) {
      return true;
    }
  }
  return false;
}

static bool is_number(const char *word) {
  return word[0] != '\0' && strspn(word, "0123456789") == strlen(word);
}

bool text_has(const char *text, const char *word) {
  char *alternatives = strdup(word);
  char *rest = alternatives;
  bool found = false;
  for (char *one; !found && (one = strsep(&rest, "|")) != NULL;) {
    found = is_number(one) ? has_number(text, one) : strcasestr(text, one) != NULL;
  }
  free(alternatives);
  return found;
}

void assert_names(const char *text, const char *file, int line, const char *const *words) {
  if (text == NULL) {
    ck_abort_msg("%s:%d: no text", file, line);
  }
  for (; *words != NULL; words++) {
    if (!text_has(text, *words)) {
      ck_abort_msg("%s:%d: \"%.1000s\" does not name \"%.100s\"", file, line, text, *words);
    }
  }
}

void assert_ok(weir_status status, const char *call, const char *file, int line) {
  if (status != WEIR_OK) {
    ck_abort_msg("%s:%d: %.200s: %s, \"%.1000s\"", file, line, call, weir_status_name(status), weir_last_error());
  }
}

void assert_fails(weir_status status, weir_status want, const char *call, const char *file, int line,
                  const char *const *words) {
  if (status != want) {
    ck_abort_msg("%s:%d: %.200s: %s instead of %s, \"%.1000s\"", file, line, call, weir_status_name(status),
                 weir_status_name(want), weir_last_error());
  }
  if (weir_last_error()[0] == '\0') {
    ck_abort_msg("%s:%d: %.200s: %s without a sentence", file, line, call, weir_status_name(status));
  }
  assert_names(weir_last_error(), file, line, words);
}

unsigned error_column(void) {
  const char *at = strstr(weir_last_error(), "column ");
  return at == NULL ? 0 : (unsigned)strtoul(at + strlen("column "), NULL, 10);
}

/* ---- Files and runtimes ------------------------------------------------- */

static const char *required_variable(const char *name) {
  const char *value = getenv(name);
  if (value == NULL || value[0] != '/') {
    fprintf(stderr, "%s must name a directory absolutely; \"make check\" sets it\n", name);
    exit(99);
  }
  return value;
}

const char *plugin_directory(void) {
  return required_variable("WEIR_TEST_PLUGINS");
}

/* Texts that must outlive their caller; what is still listed at exit is no leak. */
static const char *keep(char *text) {
  static char **kept;
  static size_t count;
  char **more = realloc(kept, (count + 1) * sizeof *kept);
  if (text == NULL || more == NULL) {
    abort();
  }
  kept = more;
  kept[count++] = text;
  return text;
}

const char *file_in(const char *directory, const char *name) {
  char *path = NULL;
  return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : keep(path);
}

const char *bad_plugin(const char *name) {
  char *path = NULL;
  return asprintf(&path, "%s/%s.so", required_variable("WEIR_TEST_BADPLUGINS"), name) < 0 ? NULL : keep(path);
}

const char *join_path(const char *const *paths) {
  size_t size = 1;
  for (const char *const *path = paths; *path != NULL; path++) {
    size += strlen(*path) + 1;
  }
  char *joined = calloc(1, size);
  for (const char *const *path = paths; *path != NULL; path++) {
    strcat(strcat(joined, path == paths ? "" : ":"), *path);
  }
  return keep(joined);
}

static char test_directory[PATH_MAX_TEST];

const char *make_directory(void) {
  const char *base = getenv("TMPDIR");
  snprintf(test_directory, sizeof test_directory, "%s/weir-test-XXXXXX", base != NULL ? base : "/tmp");
  ck_assert_msg(mkdtemp(test_directory) != NULL, "%s: %s", test_directory, strerror(errno));
  return test_directory;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk) {
  (void)status;
  (void)kind;
  (void)walk;
  return remove(path);
}

void remove_directory(void) {
  if (test_directory[0] != '\0') {
    nftw(test_directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    test_directory[0] = '\0';
  }
}

void write_file(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
  ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
  ck_assert_int_eq(fclose(file), 0);
}

void copy_file(const char *from, const char *to) {
  FILE *in = fopen(from, "rb");
  FILE *out = fopen(to, "wb");
  ck_assert_msg(in != NULL && out != NULL, "%s to %s: %s", from, to, strerror(errno));
  char block[65536];
  for (size_t got; (got = fread(block, 1, sizeof block, in)) > 0;) {
    ck_assert_uint_eq(fwrite(block, 1, got, out), got);
  }
  fclose(in);
  ck_assert_int_eq(fclose(out), 0);
}

void clear_environment(void) {
  static const char *const names[] = {"WEIR_PLUGINS",      "WEIR_PLUGIN_PATH", "WEIR_PTX_PATH", "WEIR_LOG",
                                      "WEIR_CUDA_LIBRARY", "WEIR_WRAP",        "WEIR_THREADS"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    unsetenv(names[i]);
  }
}

weir_runtime *open_runtime(const char *plugin_path, const char *selection) {
  clear_environment();
  weir_options options = {.struct_size = sizeof options, .selection = selection, .plugin_path = plugin_path};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert_ptr_nonnull(runtime);
  return runtime;
}

weir_device *open_device(weir_runtime *runtime, const char *name) {
  weir_device *device = NULL;
  ASSERT_OK(weir_device_open(runtime, name, &device));
  ck_assert_ptr_nonnull(device);
  return device;
}

static bool ends_with(const char *text, const char *suffix) {
  size_t length = strlen(text), tail = strlen(suffix);
  return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

bool find_file(weir_runtime *runtime, const char *suffix, weir_plugin_info *out_info) {
  for (uint32_t i = 0; i < weir_plugin_count(runtime); i++) {
    *out_info = (weir_plugin_info){.struct_size = sizeof *out_info};
    ASSERT_OK(weir_plugin_get(runtime, i, out_info));
    if (ends_with(out_info->path, suffix)) {
      return true;
    }
  }
  return false;
}

bool find_admitted(weir_runtime *runtime, const char *name, weir_plugin_info *out_info) {
  for (uint32_t i = 0; i < weir_plugin_count(runtime); i++) {
    *out_info = (weir_plugin_info){.struct_size = sizeof *out_info};
    ASSERT_OK(weir_plugin_get(runtime, i, out_info));
    if (out_info->status == WEIR_OK && strcmp(out_info->name, name) == 0) {
      return true;
    }
  }
  return false;
}

/* ---- Log lines ---------------------------------------------------------- */

void collect_line(void *user, int level, const char *area, const char *line) {
  log_lines *lines = user;
  size_t used = strlen(lines->text);
  snprintf(lines->text + used, sizeof lines->text - used, "%d %s: %s\n", level, area, line);
  lines->count++;
}

/* ---- Problems with an exact answer -------------------------------------- */

uint16_t bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (uint16_t)(bits >> 16);
}

static uint32_t next_random(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

void problem_make(problem *p, uint32_t n, uint32_t k, uint32_t m, uint32_t group, uint32_t seed) {
  uint32_t state = seed * 2654435761u + 1;
  uint32_t groups = k / group;
  *p = (problem){.desc = small_matvec(), .m = m};
  p->desc.n = n;
  p->desc.k = k;
  p->desc.m_max = m;
  p->desc.group = group;
  p->codes = malloc((size_t)n * k / 2);
  p->scales = malloc((size_t)n * groups * sizeof *p->scales);
  p->x = malloc((size_t)m * k * sizeof *p->x);
  p->want = calloc((size_t)m * n, sizeof *p->want);
  int *x = malloc((size_t)m * k * sizeof *x);
  for (size_t i = 0; i < (size_t)n * k / 2; i++) {
    p->codes[i] = (uint8_t)next_random(&state);
  }
  for (size_t i = 0; i < (size_t)n * groups; i++) {
    p->scales[i] = bf16((float)(1 + next_random(&state) % 2));
  }
  for (size_t i = 0; i < (size_t)m * k; i++) {
    x[i] = i % k % 32 == 0 ? 127 : (int)(next_random(&state) % 255) - 127;
    p->x[i] = bf16((float)x[i]);
  }
  for (uint32_t row = 0; row < m; row++) {
    for (uint32_t o = 0; o < n; o++) {
      int64_t sum = 0;
      for (uint32_t i = 0; i < k; i++) {
        uint8_t pair = p->codes[((size_t)o * k + i) / 2];
        int code = i % 2 == 0 ? pair & 15 : pair >> 4;
        int scale = p->scales[(size_t)o * groups + i / group] == bf16(2.0f) ? 2 : 1;
        sum += (int64_t)scale * (code - 8) * x[(size_t)row * k + i];
      }
      p->want[(size_t)row * n + o] = (float)sum;
    }
  }
  free(x);
}

void problem_free(problem *p) {
  free(p->codes);
  free(p->scales);
  free(p->x);
  free(p->want);
}

typedef struct device_buffers {
  void *packed, *x, *act, *y, *workspace;
} device_buffers;

static weir_status multiply(const problem *p, weir_device *device, const weir_plan *plan, device_buffers *b,
                            uint8_t *packed, const weir_matvec_info *info, float *out_y) {
  weir_status status;
  uint64_t x_bytes = (uint64_t)p->m * p->desc.k * sizeof *p->x;
  uint64_t y_bytes = (uint64_t)p->m * p->desc.n * sizeof *out_y;
  weir_matvec_source source = {.struct_size = sizeof source, .codes = p->codes, .scales = p->scales};
  weir_quantize_args quantize = {.struct_size = sizeof quantize, .m = p->m};
  weir_matvec_args matvec = {.struct_size = sizeof matvec, .m = p->m};
  quantize.act_size = weir_act_size(plan, p->m);
  matvec.workspace_size = weir_workspace_size(plan, p->m);
  if ((status = weir_pack(plan, &source, 0, p->desc.n, packed, info->packed_size)) != WEIR_OK ||
      (status = weir_memory_alloc(device, info->packed_size, &b->packed)) != WEIR_OK ||
      (status = weir_memory_alloc(device, x_bytes, &b->x)) != WEIR_OK ||
      (status = weir_memory_alloc(device, quantize.act_size, &b->act)) != WEIR_OK ||
      (status = weir_memory_alloc(device, y_bytes, &b->y)) != WEIR_OK ||
      (status = weir_memory_upload(device, b->packed, packed, info->packed_size, NULL)) != WEIR_OK ||
      (status = weir_memory_upload(device, b->x, p->x, x_bytes, NULL)) != WEIR_OK ||
      (status = weir_memory_fill(device, b->y, 0xff, y_bytes, NULL)) != WEIR_OK) {
    return status;
  }
  if (matvec.workspace_size > 0 &&
      ((status = weir_memory_alloc(device, matvec.workspace_size, &b->workspace)) != WEIR_OK ||
       (status = weir_memory_fill(device, b->workspace, 0, matvec.workspace_size, NULL)) != WEIR_OK)) {
    return status;
  }
  quantize.x = b->x;
  quantize.act = b->act;
  matvec.packed = b->packed;
  matvec.act = b->act;
  matvec.y = b->y;
  matvec.workspace = b->workspace;
  if ((status = weir_quantize(plan, &quantize, NULL)) != WEIR_OK ||
      (status = weir_matvec(plan, &matvec, NULL)) != WEIR_OK ||
      (status = weir_memory_download(device, out_y, b->y, y_bytes, NULL)) != WEIR_OK) {
    return status;
  }
  return weir_synchronize(device, NULL);
}

weir_status problem_run(const problem *p, weir_device *device, const weir_plan *plan, float *out_y) {
  weir_matvec_info info = {.struct_size = sizeof info};
  weir_status status = weir_matvec_get(plan, &info);
  if (status != WEIR_OK) {
    return status;
  }
  device_buffers b = {0};
  uint8_t *packed = aligned_alloc(256, (info.packed_size + 256) / 256 * 256);
  if (packed == NULL) {
    return WEIR_E_NOMEM;
  }
  status = multiply(p, device, plan, &b, packed, &info, out_y);
  weir_memory_free(device, b.packed);
  weir_memory_free(device, b.x);
  weir_memory_free(device, b.act);
  weir_memory_free(device, b.y);
  weir_memory_free(device, b.workspace);
  free(packed);
  return status;
}

bool problem_solved(const problem *p, const float *y) {
  for (size_t i = 0; i < (size_t)p->m * p->desc.n; i++) {
    if (!(y[i] == p->want[i])) {
      return false;
    }
  }
  return true;
}

void assert_solves(weir_device *device, const problem *p, const char *plugin) {
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &p->desc, &plan));
  if (plugin != NULL) {
    ck_assert_str_eq(weir_plan_plugin(plan), plugin);
  }
  float *y = malloc((size_t)p->m * p->desc.n * sizeof *y);
  ASSERT_OK(problem_run(p, device, plan, y));
  for (size_t i = 0; i < (size_t)p->m * p->desc.n; i++) {
    ck_assert_msg(y[i] == p->want[i], "%s: y[%zu] is %g, not %g", weir_plan_plugin(plan), i, y[i], p->want[i]);
  }
  free(y);
  weir_plan_free(plan);
}

weir_matvec_desc small_matvec(void) {
  return (weir_matvec_desc){
    .struct_size = sizeof(weir_matvec_desc),
    .op = WEIR_OP_INT4_MATVEC,
    .n = 8,
    .k = 128,
    .m_max = 2,
    .group = 32,
    .form = WEIR_FORM_ZERO,
    .act = WEIR_ACT_INT8,
    .scale_type = WEIR_BF16,
    .zero_type = WEIR_NONE,
    .x_type = WEIR_BF16,
    .y_type = WEIR_F32,
    .bias_type = WEIR_NONE,
  };
}

weir_sdpa_desc small_sdpa(void) {
  return (weir_sdpa_desc){
    .struct_size = sizeof(weir_sdpa_desc),
    .op = WEIR_OP_SDPA,
    .batch = 2,
    .q_heads = 4,
    .kv_heads = 2,
    .head_dim = 16,
    .q_len_max = 3,
    .kv_capacity = 10,
    .q_type = WEIR_BF16,
    .kv_type = WEIR_BF16,
    .o_type = WEIR_BF16,
    .scale = 0.25f,
  };
}

/* ---- Programs ----------------------------------------------------------- */

int run_suite(Suite *suite) {
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  int run = srunner_ntests_run(runner);
  srunner_free(runner);
  if (run == 0) {
    fprintf(stderr, "no test ran\n");
    return EXIT_FAILURE;
  }
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
