/* SPDX-License-Identifier: MIT */

/* What the suites share: runtimes made of given plugin files, problems whose
 * exact answer is known, captured log lines, and assertions about failures.
 *
 * WEIR_TEST_PLUGINS names the directory of ref.so and cpu.so,
 * WEIR_TEST_BADPLUGINS that of the modules in tests/badplugins. */
#ifndef WEIR_TESTS_SUPPORT_H
#define WEIR_TESTS_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/weir.h>

/* ---- Assertions --------------------------------------------------------- */

#define ASSERT_OK(call) assert_ok((call), #call, __FILE__, __LINE__)

/* The call fails with this status, and the sentence holds every word. A word may
 * give alternatives, "denied|-ref"; case does not matter; a number is matched as
 * a whole, so that 10 is not found in 100. */
#define ASSERT_FAILS(call, status, ...) \
  assert_fails((call), (status), #call, __FILE__, __LINE__, (const char *const[]){__VA_ARGS__, NULL})

#define ASSERT_NAMES(text, ...) \
  assert_names((text), __FILE__, __LINE__, (const char *const[]){__VA_ARGS__, NULL})

void assert_ok(weir_status status, const char *call, const char *file, int line);
void assert_fails(weir_status status, weir_status want, const char *call, const char *file, int line,
                  const char *const *words);
void assert_names(const char *text, const char *file, int line, const char *const *words);
bool text_has(const char *text, const char *word);

/* The number after "column " in the sentence; 0 when there is none. */
unsigned error_column(void);

/* ---- Files and runtimes ------------------------------------------------- */

enum { PATH_MAX_TEST = 1024 };

/* Paths and joined paths live until exit. */
/* Path of the module NAME of tests/badplugins. */
const char *bad_plugin(const char *name);
/* The directory of ref.so and cpu.so. */
const char *plugin_directory(void);
/* The paths joined with ':'. */
#define PLUGIN_PATH(...) join_path((const char *const[]){__VA_ARGS__, NULL})
const char *join_path(const char *const *paths);

/* A directory of this test, removed with all it holds by remove_directory(). */
const char *make_directory(void);
void remove_directory(void);
/* directory/name */
const char *file_in(const char *directory, const char *name);
void copy_file(const char *from, const char *to);
void write_file(const char *path, const void *bytes, size_t size);

/* A runtime of just these plugins; the selection may be null. No environment
 * variable of weir is set afterwards. */
weir_runtime *open_runtime(const char *plugin_path, const char *selection);
weir_device *open_device(weir_runtime *runtime, const char *name);
/* Removes all variables of weir from the environment. */
void clear_environment(void);

/* Finds the entry whose path ends in `suffix`; false when there is none. */
bool find_file(weir_runtime *runtime, const char *suffix, weir_plugin_info *out_info);
/* The admitted plugin of that name. */
bool find_admitted(weir_runtime *runtime, const char *name, weir_plugin_info *out_info);

/* ---- Log lines ---------------------------------------------------------- */

typedef struct log_lines {
  unsigned count;
  char text[16384]; /* "level area: line\n" for each */
} log_lines;
void collect_line(void *user, int level, const char *area, const char *line);

/* ---- Problems with an exact answer -------------------------------------- */

/* An int4 product in which every intermediate value is an integer that f32
 * holds: scales are 1 or 2, the zero is 8, x are integers and each block of 32
 * holds +-127. So every plugin must give exactly `want`. */
typedef struct problem {
  weir_matvec_desc desc;
  uint32_t m;
  uint8_t *codes;
  uint16_t *scales; /* bf16 */
  uint16_t *x;      /* bf16 */
  float *want;      /* [m,n] */
} problem;

void problem_make(problem *p, uint32_t n, uint32_t k, uint32_t m, uint32_t group, uint32_t seed);
void problem_free(problem *p);
/* Packs, quantises and multiplies in memory of the device. Asserts nothing, so
 * that any thread may call it. */
weir_status problem_run(const problem *p, weir_device *device, const weir_plan *plan, float *out_y);
bool problem_solved(const problem *p, const float *y);
/* Plans on the device, runs, and asserts the answer and which plugin gave it
 * (null: any). */
void assert_solves(weir_device *device, const problem *p, const char *plugin);

/* What a plan of this descriptor computes first, for the test plugins that write
 * a constant. */
weir_matvec_desc small_matvec(void);
weir_sdpa_desc small_sdpa(void);

uint16_t bf16(float value); /* truncates */

/* ---- Programs ----------------------------------------------------------- */

/* Runs the suite; the exit status of the program. */
int run_suite(Suite *suite);

#endif
