/* SPDX-License-Identifier: MIT */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <weir/weir.h>

/* The words that people write and read for the enumerators of weir/plugin.h. */
typedef struct word {
  const char *text;
  uint32_t value;
} word;

/* Each ends with a null text. */
extern const word words_op[];   /* int4_matvec, int8_matvec, sdpa */
extern const word words_type[]; /* none, f32, f16, bf16, u8, s8 */
extern const word words_form[]; /* zero, min */
extern const word words_act[];  /* int8, exact */
extern const word words_mask[]; /* none, bool, f32, f16, bf16 */
extern const word words_cpu_feature[];
extern const word words_candidate[];

/* "unknown" for a value that is not listed. */
const char *words_text(const word *words, uint32_t value);
/* False, and a sentence with the choices and the nearest one, when text is none of them. */
bool words_value(const word *words, const char *what, const char *text, uint32_t *out_value, char *error,
                 size_t error_size);

/* Prints "weir COMMAND: " and this thread's last error; the exit status: 2 for
 * malformed text, 1 for everything else. */
int words_failure(const char *command, weir_status status);

#endif
