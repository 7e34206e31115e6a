/* SPDX-License-Identifier: MIT */

/* What the tests of the system that weir set out to replace try, by the names they
 * have there, and what its kernels get wrong. Its own limits (no per-head mask, no
 * q_len != kv_len with causal, split-K for few queries and powers of two only) are not
 * limits here, so those cases must give numbers. */

#include "conform_case.h"

static const uint32_t dims[] = {64, 128, 256};

static void plain(struct case_list *list, const char *name, int quick, uint32_t d, uint32_t q_heads, uint32_t kv_heads,
                  uint32_t batch, uint32_t q_len, uint32_t kv_len, uint32_t flags) {
  struct sdpa_case item = sdpa_case_start(d, q_heads, kv_heads, q_len, kv_len);
  item.desc.batch = batch;
  item.desc.flags = flags;
  sdpa_case_add(list, &item, quick, name);
}

static void masked(struct case_list *list, const char *name, int quick, struct sdpa_case item,
                   enum sdpa_pattern pattern, uint32_t value) {
  item.desc.mask = WEIR_MASK_BOOL;
  item.pattern = pattern;
  item.pattern_value = value;
  sdpa_case_add(list, &item, quick, name);
}

static void add_standard(struct case_list *list) {
  static const uint32_t pairs[][2] = {{1, 64},  {1, 128},   {1, 512},   {4, 128},  {64, 64},
                                      {64, 128}, {128, 128}, {128, 256}, {256, 256}};
  static const uint32_t decode[][2] = {{6, 3}, {8, 2}, {16, 2}, {6, 1}};
  for (size_t i = 0; i < COUNT_OF(dims); ++i) {
    uint32_t d = dims[i];
    for (size_t p = 0; p < COUNT_OF(pairs); ++p) {
      uint32_t heads = pairs[p][0] > 64 ? 2 : 4;
      plain(list, "mha-basic", p == 0, d, heads, heads, heads / 2, pairs[p][0], pairs[p][1], 0);
    }
    plain(list, "mha-causal", 0, d, 4, 4, 1, 64, 64, WEIR_SDPA_CAUSAL);
    plain(list, "mha-causal", 0, d, 4, 4, 1, 128, 128, WEIR_SDPA_CAUSAL);
    masked(list, "mha-bool-mask", i == 0, sdpa_case_start(d, 4, 4, 16, 128), PATTERN_HALF, 0);
    for (size_t g = 0; g < COUNT_OF(decode); ++g) {
      for (uint32_t kv_len = 64; kv_len <= 512; kv_len *= kv_len == 64 ? 2 : 4) {
        plain(list, "gqa-decode", g == 1 && i == 1, d, decode[g][0], decode[g][1], 1, 1, kv_len, 0);
      }
    }
    masked(list, "gqa-decode-with-mask", 0, sdpa_case_start(d, 8, 2, 1, 256), PATTERN_FIRST, 100);
    for (uint32_t q_len = 2; q_len <= 8; q_len *= 2) {
      plain(list, "gqa-short-seqlen", q_len == 2, d, 8, 2, 1, q_len, 128, 0);
    }
    plain(list, "gqa-prefill", 0, d, 8, 2, 1, 64, 64, WEIR_SDPA_CAUSAL);
  }
  plain(list, "gqa-prefill", 0, 64, 8, 2, 1, 128, 128, WEIR_SDPA_CAUSAL);
  plain(list, "gqa-prefill", 0, 64, 8, 2, 1, 256, 256, WEIR_SDPA_CAUSAL);
  plain(list, "gqa-causal-prefill", 0, 64, 8, 2, 2, 64, 64, WEIR_SDPA_CAUSAL);
  for (uint32_t d = 80; d <= 96; d += 16) {
    plain(list, "mha-non-pow2-head-dim", d == 80, d, 4, 4, 1, 4, 128, 0);
    plain(list, "mha-non-pow2-causal", 0, d, 4, 4, 1, 64, 64, WEIR_SDPA_CAUSAL);
    plain(list, "gqa-non-pow2-head-dim", 0, d, 8, 2, 1, 1, 200, 0);
    plain(list, "gqa-non-pow2-head-dim", 0, d, 8, 2, 1, 4, 200, 0);
  }
  plain(list, "non-pow2-no-mask", 1, 40, 4, 4, 1, 4, 100, 0);
  plain(list, "gqa-batch-size", 0, 128, 8, 2, 2, 1, 128, 0);
  plain(list, "gqa-batch-size", 0, 128, 8, 2, 4, 1, 128, 0);
  plain(list, "qwen35-moe-config", 0, 256, 16, 2, 1, 1, 512, 0);
  plain(list, "causal-lq-ne-lkv", 1, 64, 4, 4, 1, 4, 64, WEIR_SDPA_CAUSAL);
  plain(list, "output-shape", 0, 128, 8, 2, 2, 4, 128, 0);

  struct sdpa_case item = sdpa_case_start(256, 16, 2, 1, 256);
  item.desc.flags = WEIR_SDPA_CAUSAL;
  masked(list, "gqa-causal-decode-with-mask", 0, item, PATTERN_FIRST, 192);
  item = sdpa_case_start(64, 4, 4, 4, 64);
  item.desc.scale = 0.05f;
  sdpa_case_add(list, &item, 1, "custom-scale");
  masked(list, "all-masked", 1, sdpa_case_start(64, 4, 4, 4, 64), PATTERN_NOTHING, 0);
  masked(list, "gqa-all-masked-decode", 1, sdpa_case_start(64, 8, 2, 1, 64), PATTERN_NOTHING, 0);
  item = sdpa_case_start(64, 4, 4, 4, 64);
  item.mask_dims = MASK_PER_BATCH | MASK_PER_HEAD | MASK_PER_QUERY;
  masked(list, "per-head-mask", 1, item, PATTERN_RANDOM, 0);
}

static void add_nan(struct case_list *list) {
  static const uint32_t starts[] = {0, 100, 374, 750, 812, 1000, 1496};
  plain(list, "causal-vs-eager", 0, 64, 4, 4, 1, 64, 64, WEIR_SDPA_CAUSAL);
  masked(list, "non-pow2-head-dim-with-bool-mask", 1, sdpa_case_start(80, 4, 4, 4, 200), PATTERN_HALF, 0);
  for (size_t i = 0; i < COUNT_OF(starts); ++i) {
    char name[64];
    snprintf(name, sizeof name, "ring-buffer-bool-mask-start%u", starts[i]);
    masked(list, name, starts[i] == 812, sdpa_case_start(64, 4, 4, 4, 1500), PATTERN_RING, starts[i]);
  }
}

static void add_split(struct case_list *list) {
  static const uint32_t configs[][2] = {{6, 3}, {8, 2}, {16, 2}, {6, 1}};
  static const uint32_t lengths[] = {64, 256, 1024, 4096};
  for (size_t g = 0; g < COUNT_OF(configs); ++g) {
    for (size_t i = 0; i < COUNT_OF(dims); ++i) {
      for (size_t l = 0; l < COUNT_OF(lengths); ++l) {
        if (lengths[l] < 4096 || g == i) { /* the longest once for each head dimension: the oracle is slow */
          plain(list, "decode-basic", 0, dims[i], configs[g][0], configs[g][1], 1, 1, lengths[l], 0);
        }
      }
    }
  }
  masked(list, "decode-with-mask", 1, sdpa_case_start(128, 8, 2, 1, 512), PATTERN_FIRST, 200);
  masked(list, "split-all-masked", 0, sdpa_case_start(64, 8, 2, 1, 512), PATTERN_NOTHING, 0);
  masked(list, "split-empty-splits", 0, sdpa_case_start(64, 8, 2, 1, 2048), PATTERN_LAST, 0);
  plain(list, "decode-mha", 0, 128, 8, 8, 1, 1, 512, 0);
  plain(list, "qwen35-config", 0, 256, 16, 2, 1, 1, 2048, 0);
  plain(list, "lk-1", 1, 64, 8, 2, 1, 1, 1, 0);
  plain(list, "split-batch-size", 0, 64, 8, 2, 2, 1, 512, 0);
  plain(list, "split-batch-size", 0, 64, 8, 2, 4, 1, 512, 0);
  plain(list, "is-causal-accepted", 0, 64, 8, 2, 1, 1, 512, WEIR_SDPA_CAUSAL);
  for (uint32_t q_len = 2; q_len <= 4; ++q_len) {
    plain(list, "small-query-blocks", 0, 128, 8, 2, 1, q_len, 512, 0);
  }
  plain(list, "small-query-lq-5", 0, 128, 8, 2, 1, 5, 512, 0);
  plain(list, "split-non-pow2-head-dim", 0, 96, 8, 2, 1, 1, 512, 0);
  plain(list, "multi-query-implicit-causal", 0, 128, 8, 2, 1, 4, 512, WEIR_SDPA_CAUSAL);
  plain(list, "cross-validate-with-sdpa", 0, 128, 8, 2, 1, 1, 1024, 0);
  plain(list, "non-power-of-two-gqa-ratio", 1, 128, 10, 2, 1, 3, 256, 0);
  plain(list, "gemma-sliding", 0, 256, 32, 16, 1, 1, 600, 0);
  plain(list, "gemma-global", 0, 512, 32, 4, 1, 1, 600, 0);

  struct sdpa_case item = sdpa_case_start(64, 8, 2, 1, 512);
  item.desc.scale = 0.05f;
  sdpa_case_add(list, &item, 0, "split-custom-scale");
  item = sdpa_case_start(128, 32, 2, 4, 4096);
  item.desc.flags = WEIR_SDPA_CAUSAL | WEIR_SDPA_KV_LEN;
  item.kv_len[0] = 4089;
  sdpa_case_add(list, &item, 0, "high-gqa-small-query-with-runtime-kv-len");
  item = sdpa_case_start(64, 4, 1, 1, 131072);
  item.desc.flags = WEIR_SDPA_KV_LEN;
  item.kv_len[0] = 509;
  sdpa_case_add(list, &item, 0, "runtime-kv-len-ignores-garbage-tail");
}

/* The last tile of keys takes in slots that are not there, with a score of 0. */
static void add_tile_tails(struct case_list *list) {
  for (size_t i = 0; i < COUNT_OF(dims); ++i) {
    for (uint32_t q_len = 1; q_len <= 64; q_len *= q_len == 1 ? 4 : 16) {
      int quick = dims[i] == 128 && q_len == 1;
      plain(list, "tile-tail-no-mask", quick, dims[i], 4, 4, 1, q_len, 300, 0);
      struct sdpa_case item = sdpa_case_start(dims[i], 4, 4, q_len, 512);
      item.desc.flags = WEIR_SDPA_KV_LEN;
      item.kv_len[0] = 300;
      sdpa_case_add(list, &item, quick, "kv-len-tail-no-mask");
    }
  }
}

/* Weights are e^(score - 5), with no maximum taken off. */
static void add_unified_max(struct case_list *list) {
  static const uint32_t shapes[][4] = {/* D, query heads, KV heads, queries */
                                       {64, 8, 2, 1}, {128, 8, 2, 4}, {256, 32, 16, 1}, {512, 32, 4, 1}};
  for (size_t i = 0; i < COUNT_OF(shapes); ++i) {
    struct sdpa_case item = sdpa_case_start(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], 600);
    item.values = SDPA_ABOVE;
    sdpa_case_add(list, &item, i == 1, "unified-max-overflow");
    item.values = SDPA_BELOW;
    sdpa_case_add(list, &item, i == 1, "unified-max-underflow");
  }
}

/* Elements past 256 are left out of the scores and of the result. */
static void add_wide_heads(struct case_list *list) {
  static const uint32_t wide[] = {264, 320, 384, 504};
  for (size_t i = 0; i < COUNT_OF(wide); ++i) {
    plain(list, "non-pow2-head-dim-above-256", i == 0, wide[i], 8, 2, 1, 1, 300, 0);
    plain(list, "non-pow2-head-dim-above-256", 0, wide[i], 4, 4, 1, 4, 200, WEIR_SDPA_CAUSAL);
  }
}

void sdpa_reference_cases(struct case_list *list) {
  add_standard(list);
  add_nan(list);
  add_split(list);
  add_tile_tails(list);
  add_unified_max(list);
  add_wide_heads(list);
}
