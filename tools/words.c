/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <stdio.h>
#include <string.h>

#include "progress.h"
#include "suggest.h"

const word words_op[] = {
  {"int4_matvec", WEIR_OP_INT4_MATVEC}, {"int8_matvec", WEIR_OP_INT8_MATVEC}, {"sdpa", WEIR_OP_SDPA}, {NULL, 0}};
const word words_type[] = {{"none", WEIR_NONE}, {"f32", WEIR_F32}, {"f16", WEIR_F16}, {"bf16", WEIR_BF16},
                           {"u8", WEIR_U8},     {"s8", WEIR_S8},   {NULL, 0}};
const word words_form[] = {{"zero", WEIR_FORM_ZERO}, {"min", WEIR_FORM_MIN}, {NULL, 0}};
const word words_act[] = {{"int8", WEIR_ACT_INT8}, {"exact", WEIR_ACT_EXACT}, {NULL, 0}};
const word words_mask[] = {{"none", WEIR_MASK_NONE}, {"bool", WEIR_MASK_BOOL}, {"f32", WEIR_MASK_F32},
                           {"f16", WEIR_MASK_F16},   {"bf16", WEIR_MASK_BF16}, {NULL, 0}};
const word words_cpu_feature[] = {
  {"avx2", WEIR_CPU_AVX2}, {"avx-vnni", WEIR_CPU_AVX_VNNI}, {"avx512", WEIR_CPU_AVX512},
  {"avx512-vnni", WEIR_CPU_AVX512_VNNI}, {"neon", WEIR_CPU_NEON}, {"dotprod", WEIR_CPU_DOTPROD}, {NULL, 0}};
const word words_candidate[] = {
  {"chosen", WEIR_CANDIDATE_CHOSEN}, {"eligible", WEIR_CANDIDATE_ELIGIBLE}, {"refused", WEIR_CANDIDATE_REFUSED},
  {"denied", WEIR_CANDIDATE_DENIED}, {"unlisted", WEIR_CANDIDATE_UNLISTED}, {"other op", WEIR_CANDIDATE_OTHER_OP},
  {NULL, 0}};

const char *words_text(const word *words, uint32_t value) {
  for (; words->text; words++)
    if (words->value == value) return words->text;
  return "unknown";
}

bool words_value(const word *words, const char *what, const char *text, uint32_t *out_value, char *error,
                 size_t error_size) {
  const char *names[16], *near;
  size_t count = 0, used;

  for (const word *at = words; at->text; at++) {
    if (strcmp(at->text, text) == 0) {
      *out_value = at->value;
      return true;
    }
    names[count++] = at->text;
  }
  used = (size_t)snprintf(error, error_size, "%s \"%s\" is not one of", what, text);
  for (size_t i = 0; i < count && used < error_size; i++)
    used += (size_t)snprintf(error + used, error_size - used, "%s %s", i ? "," : "", names[i]);
  near = suggest_nearest(text, names, count);
  if (near && used < error_size) snprintf(error + used, error_size - used, "; did you mean \"%s\"?", near);
  return false;
}

int words_failure(const char *command, weir_status status) {
  const char *sentence = weir_last_error();
  progress_clear();
  fprintf(stderr, "weir %s: %s\n", command, sentence[0] ? sentence : weir_status_name(status));
  return status == WEIR_E_SYNTAX ? 2 : 1;
}
