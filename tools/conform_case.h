/* SPDX-License-Identifier: MIT */

/* What the files of the conformance suite share: the cases, and the state of a run. */
#ifndef TOOLS_CONFORM_CASE_H
#define TOOLS_CONFORM_CASE_H

#include "conform.h"
#include "number.h"
#include "rng.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Cases --------------------------------------------------------------- */

enum { CASE_NAME_MAX = 224, CASE_BATCH_MAX = 4 };

/* Order of the scale and zero planes. */
enum matvec_layout {
  LAYOUT_DEFAULT, /* strides 0 and 0 */
  LAYOUT_NG,
  LAYOUT_GN,
  LAYOUT_NG_PADDED,
  LAYOUT_GN_PADDED,
  LAYOUT_COUNT
};

enum matvec_values {
  VALUES_ORDINARY, /* scales of both signs, normal activations */
  VALUES_NEGATIVE_SCALES,
  VALUES_MIXED_SCALES, /* over nine decades */
  VALUES_TINY_SCALES,  /* 1e-30 */
  VALUES_HUGE_SCALES,  /* 1e30 */
  VALUES_SUBNORMAL_SCALES, /* of f16 */
  VALUES_MAX_SCALES,       /* 65504 */
  VALUES_ZERO_SCALES,      /* in half of the groups */
  VALUES_TIES,             /* x/d halfway between integers */
  VALUES_OUTLIERS,         /* one activation in a block 1000 times the others */
  VALUES_TINY_X,
  VALUES_HUGE_X,
  VALUES_ZERO_BLOCKS, /* and one row of zeros */
  VALUES_EXTREME_CODES,
  VALUES_CONSTANT, /* all products alike: the largest sums */
  VALUES_NAN,      /* a NaN, then an infinity, in one row */
  VALUES_COUNT
};

struct matvec_case {
  weir_matvec_desc desc;
  uint32_t m;
  enum matvec_layout layout;
  enum matvec_values values;
  int unaligned; /* x, y, bias and the planes only aligned to their elements */
  int share;     /* also run other plans with this plan's act */
};

enum sdpa_layout {
  SDPA_BHLD,   /* [batch, head, slot, D] */
  SDPA_BLHD,   /* [batch, slot, head, D] */
  SDPA_PADDED, /* BHLD with gaps of 8 elements */
  SDPA_ODD,    /* BHLD with odd strides and pointers aligned to one element */
  SDPA_LAYOUT_COUNT
};

enum sdpa_pattern {
  PATTERN_ALL,         /* everything attended; additive: random values */
  PATTERN_HALF,        /* the first half of the slots */
  PATTERN_FIRST,       /* the first `pattern_value` slots */
  PATTERN_RANDOM,      /* every second slot or so */
  PATTERN_EMPTY_ROWS,  /* every second query sees nothing */
  PATTERN_EMPTY_TILES, /* only a few slots, far apart */
  PATTERN_LAST,        /* only the last slot */
  PATTERN_NOTHING,
  PATTERN_RING, /* a ring buffer of kv_capacity slots, window kv_capacity / 2, position pattern_value */
  PATTERN_COUNT
};

enum { MASK_PER_BATCH = 1, MASK_PER_HEAD = 2, MASK_PER_QUERY = 4 };

enum sdpa_values {
  SDPA_ORDINARY,
  SDPA_LARGE,      /* scores of +-1000 */
  SDPA_ALL_LOW,    /* all scores near -1000 */
  SDPA_ABOVE,      /* near 150, at scale 1: e^(score - 5) overflows in f32 */
  SDPA_BELOW,      /* near -150, at scale 1: it underflows, in every slot */
  SDPA_IDENTICAL,  /* all scores alike */
  SDPA_ONE_SLOT,   /* one slot takes all */
  SDPA_ZERO_SCALE, /* scale 0 */
  SDPA_HUGE_V,
  SDPA_NAN_QUERY,   /* a NaN in one query */
  SDPA_NAN_PARTLY,  /* a NaN in V in a slot that some queries attend */
  SDPA_NAN_KEY,     /* a NaN in K in such a slot */
  SDPA_VALUES_COUNT
};

struct sdpa_case {
  weir_sdpa_desc desc;
  uint32_t q_len;
  int32_t kv_len[CASE_BATCH_MAX]; /* as the host gives it; without WEIR_SDPA_KV_LEN all alike */
  enum sdpa_layout q_layout, kv_layout, o_layout;
  enum sdpa_pattern pattern;
  uint32_t pattern_value;
  uint32_t mask_dims; /* MASK_PER_*: the others broadcast */
  enum sdpa_values values;
};

struct conform_case {
  char name[CASE_NAME_MAX];
  weir_op op;
  int quick, tiny;
  union {
    struct matvec_case matvec;
    struct sdpa_case sdpa;
  } u;
};

struct case_list {
  struct conform_case *cases;
  size_t count, capacity;
  int out_of_memory;
};

/* Appends, unless a case of that name is there already. */
void case_add(struct case_list *list, const struct conform_case *item);
void case_append(char *name, const char *format, ...) WEIR_PRINTF(2, 3);

void matvec_cases(struct case_list *list, weir_op op, uint64_t seed);
void sdpa_cases(struct case_list *list, uint64_t seed);
/* Names and appends one case; note is the last part of its name, or null. */
void sdpa_case_add(struct case_list *list, const struct sdpa_case *item, int quick, const char *note);
struct sdpa_case sdpa_case_start(uint32_t head_dim, uint32_t q_heads, uint32_t kv_heads, uint32_t q_len,
                                 uint32_t kv_len);
/* The cases that the reference system's own tests have, under their names. */
void sdpa_reference_cases(struct case_list *list);

/* Must this plugin answer the case? */
int conform_must(const char *plugin, const struct conform_case *item);
/* Is it held to f32 inside, whatever its types? */
int conform_strict(const char *plugin);

/* ---- A run --------------------------------------------------------------- */

/* A graph, or a plan, or memory. */
struct garbage {
  weir_device *device; /* null: host memory */
  void *memory;
  weir_plan *plan;
  weir_graph *graph;
};

struct conform {
  const struct conform_options *options;
  weir_runtime *runtime, *oracle_runtime;
  weir_device *device, *oracle_device;
  weir_stream stream; /* of `device`; null on the CPU */
  struct conform_summary *summary;

  /* Of the case that runs. */
  const struct conform_case *item;
  struct rng rng;
  const char *check;
  char detail[640];
  struct garbage *garbage; /* what conform_clean() gives back */
  size_t garbage_count, garbage_capacity;
};

/* Keeps the first failure of a case. Always -1. */
int conform_fail(struct conform *c, const char *check, const char *format, ...) WEIR_PRINTF(3, 4);
/* The same for a call of weir that should have worked, with its sentence. */
int conform_fail_call(struct conform *c, const char *check, const char *call, weir_status status);
int conform_tampered(const struct conform *c, enum conform_tamper kind);
/* Zeroed; goes with the case. Null: conform_fail was called. */
void *conform_memory(struct conform *c, uint64_t bytes);
/* Takes it over, until conform_clean. */
int conform_keep(struct conform *c, struct garbage item);
void conform_clean(struct conform *c);
/* Where work for this device is enqueued: null for the oracle's. */
weir_stream conform_stream(const struct conform *c, const weir_device *device);
void conform_note_kernel(struct conform *c, const char *kernel);

/* All three: CONFORM_*, with c->check and c->detail. */
enum conform_status matvec_run(struct conform *c, const struct matvec_case *item);
enum conform_status sdpa_run(struct conform *c, const struct sdpa_case *item);

/* Makes the plan of the plugin under test: 0, -1 after conform_fail, or 1 with the
 * plugin's reason in c->detail when it does not do this. */
int conform_plan(struct conform *c, const weir_matvec_desc *matvec, const weir_sdpa_desc *sdpa, weir_plan **out_plan);
/* The oracle's; anything but success is a failure of the case. */
int conform_oracle_plan(struct conform *c, const weir_matvec_desc *matvec, const weir_sdpa_desc *sdpa,
                        weir_plan **out_plan);
/* The text that forces a plugin for everything; 0, or -1 when its name is too long. */
int conform_selection(const char *plugin, char *out_text, size_t size);
/* Of the plugin that must give the same bits: 0, or -1 after conform_fail. */
int conform_twin_plan(struct conform *c, const weir_matvec_desc *desc, weir_plan **out_plan);

/* ---- Graphs -------------------------------------------------------------- */

/* Are calls on this device to be captured and replayed? */
int conform_wants_graph(const struct conform *c, const weir_device *device);
/* Does the plan promise it? If not, 0 with the reason in c->detail. */
int conform_can_graph(struct conform *c, uint32_t properties);

typedef weir_status (*conform_enqueue_fn)(const void *object, weir_stream stream);
/* What `enqueue` enqueues becomes a graph that goes with the case. */
int conform_capture(struct conform *c, conform_enqueue_fn enqueue, const void *object, weir_graph **out_graph);
/* Runs it to its end. */
int conform_replay(struct conform *c, weir_graph *graph);

/* ---- Comparing ----------------------------------------------------------- */

/* Is `got`, of `type`, within bound + 1 ulp of `want`? Overflow counts as the first
 * value that rounds to infinity; a want that is not finite wants the same of got. */
int conform_close(weir_type type, double got, double want, double bound);

/* Compares `count` elements. `last` is the length of the last dimension, for the message. */
int conform_compare(struct conform *c, const char *check, const char *what, weir_type type, const void *got,
                    const double *want, const double *bound, uint64_t count, uint64_t last);
/* Bit for bit. */
int conform_equal(struct conform *c, const char *check, const char *what, weir_type type, const void *got,
                  const void *want, uint64_t count, uint64_t last);

#endif
