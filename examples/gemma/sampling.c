/* SPDX-License-Identifier: MIT */
#include "sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Keys are counted in groups of 2^KEY_LOW first. */
enum { KEY_LOW = 14, GROUPS = (GEMMA_KEY_MOST >> KEY_LOW) + 1, KEYS = 1 << KEY_LOW };

static uint32_t key_of(float logit, float most, float scale) {
  float x = logit == most ? 0.0f : (logit - most) * scale;
  if (!(x >= GEMMA_KEY_LEAST)) return 0;
  float n = rintf(x), f = fmaf(-1.0f, n, x), e = GEMMA_EXP2_7; /* not x - n, which a compiler may contract */
  static const float series[] = {GEMMA_EXP2_6, GEMMA_EXP2_5, GEMMA_EXP2_4, GEMMA_EXP2_3, GEMMA_EXP2_2, GEMMA_EXP2_1, 1.0f};
  for (size_t i = 0; i < sizeof series / sizeof series[0]; i++) e = fmaf(e, f, series[i]);
  uint32_t bits;
  memcpy(&bits, &e, sizeof bits);
  return 1 + bits - 0x3f800000u + ((uint32_t)((int)n - GEMMA_KEY_LEAST) << 23);
}

/* The greatest index from which on the weights, with those `above`, reach the goal. */
static uint32_t find_goal(const uint64_t *weights, uint32_t count, uint64_t goal, uint64_t *above) {
  uint32_t i = count;
  while (--i > 0 && *above + weights[i] < goal) *above += weights[i];
  return i;
}

/* The least key that top_p keeps. */
static weir_status find_least_key(const gemma_sampling *sampling, const float *logits, uint32_t vocabulary, float most,
                                  float scale, uint32_t *out_key) {
  uint64_t *groups = calloc(GROUPS + KEYS, sizeof *groups), *keys = groups + GROUPS, total = 0, above = 0;
  if (!groups) return gemma_fail(WEIR_E_NOMEM, "no memory to sort %u tokens by probability", vocabulary);
  for (uint32_t i = 0; i < vocabulary; i++) {
    uint32_t key = key_of(logits[i], most, scale);
    groups[key >> KEY_LOW] += gemma_weight(key);
    total += gemma_weight(key);
  }
  double wanted = ceil((double)sampling->top_p * (double)total);
  uint64_t goal = wanted < 1 ? 1 : (uint64_t)wanted;
  if (goal > total) goal = total;
  uint32_t group = find_goal(groups, GROUPS, goal, &above);
  for (uint32_t i = 0; i < vocabulary; i++) {
    uint32_t key = key_of(logits[i], most, scale);
    if (key >> KEY_LOW == group) keys[key & (KEYS - 1)] += gemma_weight(key);
  }
  *out_key = group << KEY_LOW | find_goal(keys, KEYS, goal, &above);
  free(groups);
  return WEIR_OK;
}

weir_status gemma_choose(const gemma_sampling *sampling, const float *logits, uint32_t vocabulary, uint32_t position,
                         int32_t *out_token) {
  uint32_t best = vocabulary;
  for (uint32_t i = 0; i < vocabulary; i++)
    if (logits[i] == logits[i] && (best == vocabulary || logits[i] > logits[best])) best = i;
  *out_token = best == vocabulary ? 0 : (int32_t)best;
  if (best == vocabulary || !(sampling->temperature > 0)) return WEIR_OK;
  float most = logits[best], scale = (float)(1.4426950408889634 / (double)sampling->temperature);
  uint32_t least = 1;
  if (sampling->top_p < 1) {
    weir_status status = find_least_key(sampling, logits, vocabulary, most, scale, &least);
    if (status) return status;
  }
  uint64_t total = 0, sum = 0;
  for (uint32_t i = 0; i < vocabulary; i++) {
    uint32_t key = key_of(logits[i], most, scale);
    if (key >= least) total += gemma_weight(key);
  }
  uint64_t u = gemma_upper_product(gemma_splitmix64(sampling->seed, position), total);
  for (uint32_t i = 0; i < vocabulary; i++) {
    uint32_t key = key_of(logits[i], most, scale);
    if (key >= least) sum += gemma_weight(key);
    if (sum > u) {
      *out_token = (int32_t)i;
      return WEIR_OK;
    }
  }
  return WEIR_OK;
}
