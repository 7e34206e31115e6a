/* SPDX-License-Identifier: MIT */

/* weir/plugin.h: the kernel plugin ABI, and everything a kernel plugin needs.
 *
 * A plugin is a shared object (or a builtin of libweir) that exports one const
 * data symbol, `weir_plugin_v1`. The host reads that symbol without running any
 * plugin code, compares versions, and copies the operation tables. A plugin
 * never calls libweir by name: what it needs from its host comes in the
 * weir_host table given to init().
 *
 * This header is C99 and C++, includes no CUDA header, and needs no library.
 *
 * Growth. Every struct that crosses the ABI starts with `struct_size`, the
 * sizeof its author saw. Members are appended and never moved; enumerators are
 * never renumbered. WEIR_HAS() is the only legal test for a member, on both
 * sides. A new major version is a new symbol name.
 */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define WEIR_ABI_MAJOR 1
#define WEIR_ABI_MINOR 0
#define WEIR_PLUGIN_MAGIC 0x52494557u /* the bytes "WEIR" on a little-endian machine */

/* Does *p, as its author compiled it, hold `member` of `type` entirely? */
#define WEIR_HAS(p, type, member) \
  ((p)->struct_size >= offsetof(type, member) + sizeof(((type *)0)->member))

#if defined(__GNUC__)
#define WEIR_EXPORT __attribute__((visibility("default")))
#define WEIR_PRINTF(text_at, args_at) __attribute__((format(printf, text_at, args_at)))
#else
#define WEIR_EXPORT
#define WEIR_PRINTF(text_at, args_at)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ------------------------------------------------------------- */

/* 0 or one of the negative codes; the sentence that goes with a failure is
 * kept per thread by the host (weir_host.fail, weir_last_error). */
typedef int32_t weir_status;
enum {
  WEIR_OK = 0,
  WEIR_E_INVALID = -1,     /* an argument has a value outside its contract */
  WEIR_E_UNSUPPORTED = -2, /* valid, but no (or not this) plugin does it */
  WEIR_E_NOMEM = -3,       /* host or device memory ran out */
  WEIR_E_NODEVICE = -4,    /* no such device here, or no driver for it */
  WEIR_E_DRIVER = -5,      /* the device driver reported a failure */
  WEIR_E_ABI = -6,         /* versions or struct sizes do not fit together */
  WEIR_E_WORKSPACE = -7,   /* a workspace, act or packed buffer is too small */
  WEIR_E_CAPTURE = -8,     /* not legal while a stream is being captured */
  WEIR_E_INTERNAL = -9,    /* a bug in weir or in a plugin */
  WEIR_E_NOTFOUND = -10,   /* no plugin, file or tensor of that name */
  WEIR_E_SYNTAX = -11,     /* malformed selection, device or shape text */
  WEIR_E_IO = -12,         /* a file could not be opened, read or mapped */
  WEIR_E_FORMAT = -13,     /* a file is truncated or breaks its format */
  WEIR_E_TYPE = -14,       /* an unknown or unfit element or tensor type */
  WEIR_E_SHAPE = -15,      /* shapes that do not fit together */
  WEIR_E_NULL = -16,       /* a required pointer is null */
  WEIR_E_FLAGS = -17       /* a flag bit this version does not know */
};

/* ---- Element types, devices --------------------------------------------- */

typedef uint32_t weir_type;
enum {
  WEIR_NONE = 0, /* "absent", where a member may be */
  WEIR_F32 = 1,
  WEIR_F16 = 2,
  WEIR_BF16 = 3,
  WEIR_U8 = 4,
  WEIR_S8 = 5
};

/* A queue of the device: CUstream / cudaStream_t for CUDA, NULL being its
 * default stream; always NULL for the CPU, where a call returns when done. */
typedef void *weir_stream;

typedef uint32_t weir_device_kind;
enum { WEIR_DEVICE_CPU = 1, WEIR_DEVICE_CUDA = 2 };

/* weir_device_info.cpu_features */
enum {
  WEIR_CPU_AVX2 = 1u << 0,        /* with FMA, F16C and BMI2 */
  WEIR_CPU_AVX_VNNI = 1u << 1,    /* 256-bit VEX-encoded vpdpbusd */
  WEIR_CPU_AVX512 = 1u << 2,      /* F, BW, DQ and VL */
  WEIR_CPU_AVX512_VNNI = 1u << 3, /* vpdpbusd on zmm */
  WEIR_CPU_NEON = 1u << 4,
  WEIR_CPU_DOTPROD = 1u << 5
};

/* weir_device_info.flags */
enum {
  /* Describes hardware that is not in this machine: score() answers about it,
   * plan() is never called with it. */
  WEIR_DEVICE_SYNTHETIC = 1u << 0
};

/* Plain data that says what a device is. Kernels are chosen from these
 * numbers, never from the name. Members of the other kind are 0. */
typedef struct weir_device_info {
  uint32_t struct_size;
  weir_device_kind kind;
  uint32_t flags;
  int32_t ordinal;         /* CUDA device number; 0 for the CPU */
  uint64_t memory_bytes;   /* of the device (CPU: of the machine) */
  uint64_t cache_bytes;    /* last-level cache: L3 of a CPU, L2 of a GPU */
  uint32_t threads;        /* CPU: worker threads, the caller's included */
  uint32_t cpu_features;   /* CPU: WEIR_CPU_* */
  uint32_t cc;             /* CUDA: compute capability * 10, 90 for 9.0 */
  uint32_t sm_count;       /* CUDA */
  uint32_t smem_per_block; /* CUDA: bytes, with opt-in */
  uint32_t smem_per_sm;    /* CUDA: bytes */
  uint32_t driver_version; /* CUDA: as cuDriverGetVersion, 13000 for 13.0 */
  uint32_t reserved;
  char name[64];
} weir_device_info;

/* ---- Host services ------------------------------------------------------ */

enum { WEIR_LOG_ERROR = 1, WEIR_LOG_WARN = 2, WEIR_LOG_INFO = 3, WEIR_LOG_DEBUG = 4, WEIR_LOG_TRACE = 5 };

typedef void (*weir_task_fn)(void *arg, uint32_t index);

/* A CUDA kernel, loaded; lives as long as its device. */
typedef struct weir_kernel weir_kernel;

/* weir_launch.flags */
enum {
  /* The kernel may start before the previous one of the stream is done, and waits
   * itself (griddepcontrol.wait); for kernels of PTX for sm_90 and up only. */
  WEIR_LAUNCH_PROGRAMMATIC = 1u << 0
};
typedef struct weir_launch {
  uint32_t struct_size;
  uint32_t flags;
  uint32_t grid[3], block[3]; /* all at least 1 */
  uint32_t shared_bytes;      /* dynamic shared memory */
  uint32_t reserved;          /* 0 */
} weir_launch;

/* Given to init(), one table for each plugin of each runtime; valid until fini()
 * returns. Every function may be called from any thread. `host` is the table
 * itself. */
typedef struct weir_host weir_host;
struct weir_host {
  uint32_t struct_size;
  uint16_t abi_major, abi_minor;

  /* Writes one line under the plugin's name when WEIR_LOG asks for the level.
   * Never from quantize(), matvec() or sdpa(). */
  void (*log)(const weir_host *host, int level, const char *format, ...) WEIR_PRINTF(3, 4);

  /* Keeps the sentence for weir_last_error() of this thread; returns code, so
   * that `return host->fail(host, WEIR_E_INVALID, "...")` reads well. */
  weir_status (*fail)(const weir_host *host, weir_status code, const char *format, ...) WEIR_PRINTF(3, 4);

  /* Memory of the host, aligned to 64 bytes; NULL when there is none. */
  void *(*memory_alloc)(const weir_host *host, size_t bytes);
  void (*memory_free)(const weir_host *host, void *memory);

  /* Runs task(arg, i) once for every i in [0, tasks) on the worker threads and
   * the caller, in any order and grouping, and returns when all are done.
   * Tasks must not wait for each other and must not call parallel(). */
  void (*parallel)(const weir_host *host, uint32_t tasks, weir_task_fn task, void *arg);
  /* How many threads parallel() uses, the caller's included; constant. */
  uint32_t (*thread_count)(const weir_host *host);

  /* CUDA, for plan() only: loads PTX and finds a kernel in it; the same module is
   * loaded once a device. `ptx` is a name: NAME.sm_90a.ptx is taken on devices of
   * compute capability 9.0, else NAME.sm_90.ptx on those of 9.0 and up, else
   * NAME.sm_80.ptx, from WEIR_PTX_PATH, the directory of the plugin's file, or the
   * installed directory. Or it is an absolute file, or PTX text itself (recognised by a
   * newline). The kernel may be launched with up to most_shared_bytes of dynamic shared
   * memory. */
  weir_status (*kernel_get)(const weir_host *host, const weir_device_info *device, const char *ptx, const char *entry,
                            uint32_t most_shared_bytes, const weir_kernel **out_kernel);
  /* How many blocks of that size one multiprocessor holds at a time. */
  weir_status (*kernel_occupancy)(const weir_host *host, const weir_kernel *kernel, uint32_t threads,
                                  uint32_t shared_bytes, uint32_t *out_blocks);
  /* Enqueues; params[i] points to the value of parameter i. */
  weir_status (*kernel_launch)(const weir_host *host, const weir_kernel *kernel, const weir_launch *launch,
                               void *const *params, weir_stream stream);
  /* A function of the CUDA driver by its versioned name, such as "cuMemAlloc_v2";
   * NULL when the driver has none of that name. For plan(), after kernel_get. */
  void *(*cuda_symbol)(const weir_host *host, const char *name);
};

/* ---- Score -------------------------------------------------------------- */

#define WEIR_REASON_MAX 192

/* A plugin's answer to "how good are you at this?". 0 = cannot. Otherwise 1 to
 * 1000, higher wins; the oracle `ref` answers 1. The reason is always given: for
 * 0 what is missing and what would do ("K = 100 is not a multiple of 8"), else
 * which kernel serves ("avx2, 8 rows a pass"). */
typedef struct weir_score {
  uint32_t struct_size;
  int32_t value;
  char reason[WEIR_REASON_MAX];
} weir_score;

WEIR_PRINTF(3, 4)
static inline void weir_score_set(weir_score *out, int32_t value, const char *format, ...) {
  va_list args;
  va_start(args, format);
  out->value = value;
  vsnprintf(out->reason, sizeof out->reason, format, args);
  va_end(args);
}

/* ---- Quantised matvec --------------------------------------------------- */

typedef uint32_t weir_op;
enum { WEIR_OP_INT4_MATVEC = 1, WEIR_OP_INT8_MATVEC = 2, WEIR_OP_SDPA = 3 };

/* How a weight is made of its code, the scale and the zero of its group. */
typedef uint32_t weir_form;
enum {
  WEIR_FORM_ZERO = 0, /* w = scale * (code - zero) */
  WEIR_FORM_MIN = 1   /* w = scale * code + min; min is stored as the zero plane */
};

/* How activations may be represented inside a plan. */
typedef uint32_t weir_act;
enum {
  /* 8-bit blocks: for each 32 consecutive k of a row (the last block of a row
   * may be shorter), in f32: d = max|x| / 127, r = 1/d, and where r is not finite
   * (all zero, or below 3.7e-37) d = r = 0; q = round-half-even(x * r) clamped to
   * [-128, 127]; x is taken as d * q. A block that holds a NaN or an Inf makes
   * every result of its row NaN or Inf; it is never dropped. */
  WEIR_ACT_INT8 = 0,
  /* Activations are used as given; nothing is quantised. */
  WEIR_ACT_EXACT = 1
};

/* y[m,n] = sum over k of w[n,k] * x[m,k] + bias[n]
 *
 * k > 0, a multiple of `group`, and even for int4. `group` is 16, 32, 64, 128,
 * 256, or k itself. Weights of row n, group g = k / group have scale[n,g] and
 * zero[n,g].
 *   int4: codes 0..15; zero_type WEIR_NONE means a zero of 8 everywhere in
 *         WEIR_FORM_ZERO; else F32, F16, BF16 or U8.
 *   int8: codes -128..127; zero_type WEIR_NONE means 0; else S8, F32, F16, BF16.
 * WEIR_FORM_MIN needs a zero plane of F32, F16 or BF16.
 * Sums are formed in f32 or better; the result is rounded once to y_type. */
typedef struct weir_matvec_desc {
  uint32_t struct_size;
  weir_op op;           /* WEIR_OP_INT4_MATVEC or WEIR_OP_INT8_MATVEC */
  uint32_t flags;       /* none defined: 0 */
  uint32_t n, k;        /* outputs, inputs */
  uint32_t m_max;       /* most rows of x in one call, at least 1 */
  uint32_t group;       /* weights per scale along k */
  weir_form form;
  weir_act act;
  weir_type scale_type; /* F32, F16 or BF16 */
  weir_type zero_type;
  weir_type x_type;     /* F32, F16 or BF16 */
  weir_type y_type;     /* F32, F16 or BF16 */
  weir_type bias_type;  /* WEIR_NONE, F32, F16 or BF16 */
} weir_matvec_desc;

/* Canonical weights of some consecutive rows, in host memory. All pointers
 * address the first of these rows.
 *   int4: row r is k/2 bytes at codes + r*k/2; byte j holds the code of 2j in
 *         its low nibble and of 2j+1 in its high nibble.
 *   int8: row r is k bytes at codes + r*k.
 * scale[r,g] is element r*row_stride + g*group_stride of `scales`; zeros are
 * stored alike. So [N,groups] is row_stride = groups, group_stride = 1, and
 * [groups,N] is row_stride = 1, group_stride = N. Both 0 mean [N,groups]. */
typedef struct weir_matvec_source {
  uint32_t struct_size;
  uint32_t flags; /* none defined: 0 */
  const void *codes;
  const void *scales;
  const void *zeros; /* null exactly when zero_type is WEIR_NONE */
  uint64_t row_stride, group_stride;
} weir_matvec_source;

/* weir_matvec_info.properties, weir_sdpa_info.properties */
enum {
  WEIR_ROW_INVARIANT = 1u << 0, /* row r of an M-row call equals the M = 1 call bit for bit */
  WEIR_DETERMINISTIC = 1u << 1, /* same inputs, same bits */
  WEIR_GRAPH_SAFE = 1u << 2     /* enqueue calls may be captured and replayed */
};

/* What a host must know about a plan; constant for the plan's life. */
typedef struct weir_matvec_info {
  uint32_t struct_size;
  uint32_t properties;
  uint64_t packed_size;  /* bytes of the packed weights */
  uint64_t packed_tag;   /* names the packed layout: equal plugin, tag, size and descriptor
                            (m_max apart) mean that packed bytes can be exchanged, such as
                            by plans for one row and for many, or cached on disk */
  uint64_t act_tag;      /* plans of one plugin with equal nonzero act_tag, k and
                            x_type read the same act; 0: not shareable */
  weir_act act;          /* how activations are represented in fact */
  uint32_t align;        /* of packed, act and workspace: a power of two up to 256 */
  uint64_t weight_bytes; /* bytes one M = 1 call reads of packed */
  char kernel[64];       /* which kernel serves, for people: "avx2 int4" */
} weir_matvec_info;

typedef struct weir_quantize_args {
  uint32_t struct_size;
  uint32_t flags;    /* none defined: 0 */
  uint32_t m;        /* rows of x, 1..m_max */
  uint32_t reserved; /* 0 */
  const void *x;     /* [m,k] of x_type, aligned to its element */
  void *act;         /* out */
  uint64_t act_size; /* bytes at act: at least act_size(plan, m) */
} weir_quantize_args;

typedef struct weir_matvec_args {
  uint32_t struct_size;
  uint32_t flags;    /* none defined: 0 */
  uint32_t m;        /* rows, as given to quantize */
  uint32_t reserved; /* 0 */
  const void *packed;
  const void *act;   /* what quantize() of this plan, or of one with its act_tag, wrote */
  const void *bias;  /* [n] of bias_type; null exactly when bias_type is WEIR_NONE */
  void *y;           /* out: [m,n] of y_type, aligned to its element */
  void *workspace;   /* null when workspace_size() is 0 */
  uint64_t workspace_size;
} weir_matvec_args;

/* Both in one: y straight from x. */
typedef struct weir_linear_args {
  uint32_t struct_size;
  uint32_t flags;    /* none defined: 0 */
  uint32_t m;        /* rows of x, 1..m_max */
  uint32_t reserved; /* 0 */
  const void *packed;
  const void *x;     /* [m,k] of x_type, aligned to its element */
  const void *bias;  /* as in weir_matvec_args */
  void *y;           /* out: [m,n] of y_type, aligned to its element; nowhere in x */
  void *act;         /* scratch; what it holds afterwards is not defined */
  uint64_t act_size; /* bytes at act: at least act_size(plan, m) */
  void *workspace;   /* null when workspace_size() is 0 */
  uint64_t workspace_size;
} weir_linear_args;

typedef struct weir_plugin_plan weir_plugin_plan; /* each plugin defines its own */

/* int4_matvec and int8_matvec. The host has checked descriptors, arguments,
 * types, flags, sizes and alignment against this header before it calls, so a
 * plugin checks only what is narrower in itself, and does that in score().
 *
 * Threads: score, plan, plan_free and pack may run on any number of threads at
 * once. A plan is immutable; quantize, matvec and linear of one plan may run on
 * any number of threads and streams at once with distinct outputs, workspaces and,
 * for quantize and linear, act.
 *
 * Memory: packed, act, x, y, bias and workspace live on the plan's device. packed
 * may be read before work that was enqueued earlier has finished, so it must be
 * complete (weir_synchronize) before its first use; the rest is ordered as usual. */
typedef struct weir_matvec_vtable {
  uint32_t struct_size;
  uint32_t reserved;

  /* Pure: no allocation, no driver call, no state change. Mandatory. */
  void (*score)(void *state, const weir_device_info *device, const weir_matvec_desc *desc, weir_score *out);
  /* Everything slow: allocation, module loading, tuning. Called only when
   * score() was above 0. `device` lives as long as the plan. Mandatory. */
  weir_status (*plan)(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                      weir_plugin_plan **out_plan);
  void (*plan_free)(weir_plugin_plan *plan);                             /* mandatory */
  void (*info)(const weir_plugin_plan *plan, weir_matvec_info *out);     /* mandatory */
  uint64_t (*act_size)(const weir_plugin_plan *plan, uint32_t m);        /* mandatory */
  uint64_t (*workspace_size)(const weir_plugin_plan *plan, uint32_t m);  /* optional: 0 */

  /* Writes the bytes of rows [n0,n1) into the packed buffer of the whole
   * matrix, host memory to host memory. Rows may come in any cut and order, and
   * different rows from different threads at once: the bytes of two rows are
   * disjoint. The call that has row n-1 also writes all padding, so that the
   * buffer is defined when every row was packed. Mandatory. */
  weir_status (*pack)(const weir_plugin_plan *plan, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                      void *out_packed);

  /* Launch only: no allocation, no module load, no synchronisation, no log;
   * legal under stream capture. Mandatory. */
  weir_status (*quantize)(const weir_plugin_plan *plan, const weir_quantize_args *args, weir_stream stream);
  weir_status (*matvec)(const weir_plugin_plan *plan, const weir_matvec_args *args, weir_stream stream);
  /* The y of quantize() and then matvec(), bit for bit, for x that one matrix reads: a plugin
   * that can quantise inside its matvec saves a launch. Optional: those two. */
  weir_status (*linear)(const weir_plugin_plan *plan, const weir_linear_args *args, weir_stream stream);
} weir_matvec_vtable;

/* A workspace is zero-filled by the host once, before its first use, and left
 * by every call as fit for the next call of the same plan. Two calls in flight
 * at one time need two workspaces. This holds for all operations. */

/* ---- Scaled dot-product attention --------------------------------------- */

typedef uint32_t weir_mask;
enum {
  WEIR_MASK_NONE = 0,
  WEIR_MASK_BOOL = 1, /* one byte a slot: nonzero = attend */
  WEIR_MASK_F32 = 2,  /* added to the score; -inf = do not attend */
  WEIR_MASK_F16 = 3,
  WEIR_MASK_BF16 = 4
};

/* weir_sdpa_desc.flags */
enum {
  WEIR_SDPA_CAUSAL = 1u << 0, /* query i attends slots j <= kv_len - q_len + i */
  WEIR_SDPA_KV_LEN = 1u << 1  /* args.kv_len_device is given */
};

/* o[b,h,i,:] = sum over attended j of softmax_j(s[i,j]) * v[b,g,j,:]
 * s[i,j] = c(scale * dot(q[b,h,i,:], k[b,g,j,:])) + mask[b,h,i,j], where
 * g = h / (q_heads / kv_heads), and c(t) = softcap * tanh(t / softcap), or t
 * when softcap is 0.
 *
 * Slots j >= kv_len are not attended and not read. The position of query i is
 * p = kv_len - q_len + i (bottom-right), which may be negative; causal drops
 * j > p; window > 0 drops j <= p - window. A slot that is dropped, or whose mask
 * is false or -inf, has no influence, whatever K and V hold there. A query with
 * nothing to attend gives exactly 0. The softmax uses the true maximum. An
 * attended score of NaN or +Inf gives NaN; an attended NaN or Inf of V is IEEE's. */
typedef struct weir_sdpa_desc {
  uint32_t struct_size;
  weir_op op; /* WEIR_OP_SDPA */
  uint32_t flags;
  uint32_t batch;
  uint32_t q_heads, kv_heads; /* q_heads a multiple of kv_heads */
  uint32_t head_dim;          /* a multiple of 8 from 8 to 512 */
  uint32_t q_len_max;         /* most queries in one call, at least 1 */
  uint32_t kv_capacity;       /* slots in the KV buffer */
  uint32_t kv_len_hint;       /* usual kv_len, for the choice of kernel; 0 = kv_capacity */
  uint32_t window;            /* 0 = none */
  weir_type q_type, kv_type, o_type; /* F32, F16 or BF16; a plugin may take fewer */
  weir_mask mask;
  float scale;                /* finite; explicit: 0 means 0 */
  float softcap;              /* 0 = none */
} weir_sdpa_desc;

typedef struct weir_sdpa_info {
  uint32_t struct_size;
  uint32_t properties;
  uint32_t align; /* of workspace */
  uint32_t reserved;
  char kernel[64];
} weir_sdpa_info;

/* Strides are in elements; the last dimension has stride 1. A stride of a
 * dimension of size 1 is not read. */
typedef struct weir_sdpa_args {
  uint32_t struct_size;
  uint32_t flags; /* none defined: 0 */
  uint32_t q_len; /* 1..q_len_max */
  uint32_t kv_len; /* for every batch, 0..kv_capacity; not read with WEIR_SDPA_KV_LEN */
  const void *q, *k, *v, *mask;
  void *o; /* out */
  int64_t q_stride[3];    /* batch, head, query */
  int64_t k_stride[3];    /* batch, kv head, slot */
  int64_t v_stride[3];    /* batch, kv head, slot */
  int64_t o_stride[3];    /* batch, head, query */
  int64_t mask_stride[3]; /* batch, head, query; 0 broadcasts; slots are adjacent */
  /* With WEIR_SDPA_KV_LEN: [batch] in device memory, read by the kernel, so that
   * a captured graph replays with new lengths; constant while the call runs.
   * Clamped to 0..kv_capacity. */
  const int32_t *kv_len_device;
  void *workspace;
  uint64_t workspace_size;
} weir_sdpa_args;

/* The rules of weir_matvec_vtable hold for the members of the same name. */
typedef struct weir_sdpa_vtable {
  uint32_t struct_size;
  uint32_t reserved;
  void (*score)(void *state, const weir_device_info *device, const weir_sdpa_desc *desc, weir_score *out);
  weir_status (*plan)(void *state, const weir_device_info *device, const weir_sdpa_desc *desc,
                      weir_plugin_plan **out_plan);
  void (*plan_free)(weir_plugin_plan *plan);
  void (*info)(const weir_plugin_plan *plan, weir_sdpa_info *out);
  uint64_t (*workspace_size)(const weir_plugin_plan *plan, uint32_t q_len); /* optional: 0 */
  weir_status (*sdpa)(const weir_plugin_plan *plan, const weir_sdpa_args *args, weir_stream stream);
} weir_sdpa_vtable;

/* ---- The plugin --------------------------------------------------------- */

/* weir_plugin.flags */
enum {
  /* After fini() nothing of the plugin is left running or registered, so the
   * file may be unloaded. Without it a plugin stays loaded until exit. */
  WEIR_PLUGIN_UNLOADABLE = 1u << 0
};

/* weir_plugin.sanitizer: which runtime the plugin was compiled for. */
enum { WEIR_SANITIZER_NONE = 0, WEIR_SANITIZER_ADDRESS = 1, WEIR_SANITIZER_THREAD = 2, WEIR_SANITIZER_MEMORY = 3 };

#if defined(__has_feature)
#define WEIR_HAS_FEATURE(x) __has_feature(x)
#else
#define WEIR_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || WEIR_HAS_FEATURE(address_sanitizer)
#define WEIR_SANITIZER WEIR_SANITIZER_ADDRESS
#elif defined(__SANITIZE_THREAD__) || WEIR_HAS_FEATURE(thread_sanitizer)
#define WEIR_SANITIZER WEIR_SANITIZER_THREAD
#elif WEIR_HAS_FEATURE(memory_sanitizer)
#define WEIR_SANITIZER WEIR_SANITIZER_MEMORY
#else
#define WEIR_SANITIZER WEIR_SANITIZER_NONE
#endif

typedef struct weir_plugin_op {
  weir_op op;
  uint32_t reserved;
  const void *vtable; /* weir_matvec_vtable or weir_sdpa_vtable */
} weir_plugin_op;

typedef struct weir_plugin {
  uint32_t magic;
  uint16_t abi_major, abi_minor;
  uint32_t struct_size;
  uint32_t flags;
  uint32_t sanitizer;
  uint32_t op_count;
  const weir_plugin_op *ops;
  const char *name;        /* [a-z0-9_-]+, not starting with '-' or a digit, not "auto" */
  const char *version;
  const char *license;     /* an SPDX expression */
  const char *description; /* one line */
  /* Once per runtime. No device call, no thread, no atexit, no TLS destructor.
   * *out_state is handed to score() and plan(); it may stay NULL. Optional. */
  weir_status (*init)(const weir_host *host, void **out_state);
  void (*fini)(void *state); /* optional */
} weir_plugin;

/* The first members of a weir_plugin, in the order above. */
#define WEIR_PLUGIN_HEADER(plugin_flags)                                                                      \
  WEIR_PLUGIN_MAGIC, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, (uint32_t)sizeof(weir_plugin), plugin_flags, WEIR_SANITIZER

/* Defines the plugin's symbol: WEIR_PLUGIN(cpu) = { WEIR_PLUGIN_HEADER(0), ... };
 * With WEIR_BUILTIN defined the same source is linked into libweir instead. */
#if defined(WEIR_BUILTIN)
#define WEIR_PLUGIN(id)                      \
  extern const weir_plugin weir_builtin_##id; \
  const weir_plugin weir_builtin_##id
#else
extern WEIR_EXPORT const weir_plugin weir_plugin_v1;
#define WEIR_PLUGIN(id) const weir_plugin weir_plugin_v1
#endif

#ifdef __cplusplus
}
#endif
#endif
