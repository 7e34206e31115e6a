/* SPDX-License-Identifier: MIT */

/* weir/weir.h: the host API of libweir.
 *
 *   weir_open -> weir_device_open -> weir_plan_matvec -> weir_pack (once)
 *   then, for each token: weir_linear (or weir_quantize, and a weir_matvec for each
 *   matrix that reads the same x), and weir_sdpa.
 *
 * Link with `pkg-config --libs weir`, or dlopen libweir.so.0 and ask its one
 * symbol weir_get_api() for the table of the same functions (weir_api, below).
 *
 * Errors. A function that can fail returns a weir_status, sets its outputs to
 * null or zero, and leaves a sentence in weir_last_error() of the calling thread.
 * The library never prints and never exits.
 *
 * Threads. Every function may be called from any thread at any time, except
 * that an object must not be in use while it is closed or freed.
 *
 * Fork. The CPU side works on in a child of fork().
 *
 * Structs. Set struct_size to the sizeof your compiler sees, and zero what you do
 * not use; designated initialisers do the latter.
 */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_runtime weir_runtime;
typedef struct weir_device weir_device;
typedef struct weir_plan weir_plan;

/* ---- Errors ------------------------------------------------------------- */

/* The sentence of this thread's latest failure, "" before the first. Valid
 * until the thread's next failing call. Never null. */
WEIR_EXPORT const char *weir_last_error(void);
/* "WEIR_E_SHAPE" for -15; "unknown status" otherwise. Never null. */
WEIR_EXPORT const char *weir_status_name(weir_status status);
/* "0.1.0" */
WEIR_EXPORT const char *weir_version(void);

/* ---- Runtime ------------------------------------------------------------ */

/* `line` has no newline. May be called from any thread, one call at a time. */
typedef void (*weir_log_fn)(void *user, int level, const char *area, const char *line);

typedef struct weir_options {
  uint32_t struct_size;
  uint32_t flags;       /* none defined: 0 */
  const char *selection; /* as WEIR_PLUGINS, which it replaces; null: the environment's */
  const char *plugin_path; /* as WEIR_PLUGIN_PATH, which it replaces */
  const char *log;      /* as WEIR_LOG, which it replaces */
  weir_log_fn log_fn;   /* null: lines go to stderr, and only if log or WEIR_LOG asks for them */
  void *log_user;
  uint32_t threads;     /* of the CPU device; 0: WEIR_THREADS, else the processors available */
  uint32_t reserved;    /* 0 */
  const char *ptx_path;     /* as WEIR_PTX_PATH, which it replaces */
  const char *cuda_library; /* as WEIR_CUDA_LIBRARY, which it replaces */
} weir_options;

/* Reads the configuration, lists the plugin files, and admits what fits. options
 * may be null. A plugin that cannot be admitted is not an error here: it is
 * listed with its reason (weir_plugin_get), and named when it is missed.
 * Malformed selection: WEIR_E_SYNTAX with the column. */
WEIR_EXPORT weir_status weir_open(const weir_options *options, weir_runtime **out_runtime);
/* Devices and plans stay valid; the runtime goes when the last of them goes. */
WEIR_EXPORT void weir_close(weir_runtime *runtime);
/* Replaces the selection. Plans that exist keep their plugin; new ones use it.
 * On error the old selection stays. Null or "" is the default. */
WEIR_EXPORT weir_status weir_select(weir_runtime *runtime, const char *selection);
/* Looks for plugin files again and admits new ones; what is loaded stays. */
WEIR_EXPORT weir_status weir_rescan(weir_runtime *runtime, uint32_t *out_admitted);

typedef struct weir_plugin_info {
  uint32_t struct_size;
  weir_status status;      /* WEIR_OK: admitted */
  const char *name;        /* of a refused file: its base name */
  const char *version;
  const char *license;
  const char *description;
  const char *path;        /* "builtin", or the file */
  const char *reason;      /* why it was refused; "" when admitted */
  uint32_t ops;            /* bit 1 << op for each operation it has */
  uint32_t abi_major, abi_minor;
  uint32_t reserved;
} weir_plugin_info;

/* Admitted and refused plugins, builtins first, then by path order. Strings live
 * as long as the runtime. index past the end: WEIR_E_NOTFOUND. */
WEIR_EXPORT uint32_t weir_plugin_count(weir_runtime *runtime);
WEIR_EXPORT weir_status weir_plugin_get(weir_runtime *runtime, uint32_t index, weir_plugin_info *out_info);

/* ---- Devices and memory ------------------------------------------------- */

/* "cpu", "cpu:isa=avx2,threads=4" (isa: portable, avx2, avx-vnni, avx512,
 * avx512-vnni), "cuda:0", or a description of one that is not here:
 * "cuda:sm=90,sms=132,l2=50M,smem=227K". A cpu isa that this machine lacks is
 * also only a description. Descriptions can be asked about, not planned on. */
WEIR_EXPORT weir_status weir_device_open(weir_runtime *runtime, const char *name, weir_device **out_device);
WEIR_EXPORT void weir_device_close(weir_device *device);
WEIR_EXPORT weir_status weir_device_get(const weir_device *device, weir_device_info *out_info);

/* Memory of the device, aligned to 256 bytes and, on the CPU, in huge pages
 * where the system gives them. bytes 0 gives a pointer that may be freed. */
WEIR_EXPORT weir_status weir_memory_alloc(weir_device *device, uint64_t bytes, void **out_memory);
WEIR_EXPORT void weir_memory_free(weir_device *device, void *memory);
/* Ordered on the stream; the host memory may be reused on return. */
WEIR_EXPORT weir_status weir_memory_upload(weir_device *device, void *out_device_memory, const void *host_memory,
                                    uint64_t bytes, weir_stream stream);
WEIR_EXPORT weir_status weir_memory_download(weir_device *device, void *out_host_memory, const void *device_memory,
                                      uint64_t bytes, weir_stream stream);
WEIR_EXPORT weir_status weir_memory_fill(weir_device *device, void *out_device_memory, int byte, uint64_t bytes,
                                    weir_stream stream);
WEIR_EXPORT weir_status weir_synchronize(weir_device *device, weir_stream stream);

/* ---- Streams, events, graphs, kernels of a CUDA device -------------------
 * For hosts that do not link CUDA themselves; a host that does passes its own
 * streams. On the CPU each fails with WEIR_E_UNSUPPORTED. The calling thread's current
 * context is used when it belongs to the device, else the device's primary context. */

typedef struct weir_event weir_event;
typedef struct weir_graph weir_graph;

WEIR_EXPORT weir_status weir_stream_create(weir_device *device, weir_stream *out_stream);
WEIR_EXPORT void weir_stream_destroy(weir_device *device, weir_stream stream);
WEIR_EXPORT weir_status weir_event_create(weir_device *device, weir_event **out_event);
WEIR_EXPORT void weir_event_destroy(weir_event *event);
WEIR_EXPORT weir_status weir_event_record(weir_event *event, weir_stream stream);
/* Waits for `end`; the time between the two in milliseconds. */
WEIR_EXPORT weir_status weir_event_elapsed(weir_event *begin, weir_event *end, float *out_milliseconds);
/* What this thread enqueues on the stream between the two becomes a graph. */
WEIR_EXPORT weir_status weir_capture_begin(weir_device *device, weir_stream stream);
WEIR_EXPORT weir_status weir_capture_end(weir_device *device, weir_stream stream, weir_graph **out_graph);
WEIR_EXPORT weir_status weir_graph_launch(weir_graph *graph, weir_stream stream);
WEIR_EXPORT void weir_graph_destroy(weir_graph *graph);
/* As weir_host.kernel_get and kernel_launch, without a plugin's directory. */
WEIR_EXPORT weir_status weir_kernel_get(weir_device *device, const char *ptx, const char *entry,
                                        uint32_t most_shared_bytes, const weir_kernel **out_kernel);
WEIR_EXPORT weir_status weir_kernel_launch(weir_device *device, const weir_kernel *kernel, const weir_launch *launch,
                                           void *const *params, weir_stream stream);

/* ---- Plans -------------------------------------------------------------- */

/* Checks the descriptor, asks the plugins that the selection admits, and lets the
 * winner prepare. A forced plugin that is missing or refuses is an error; nothing
 * else is tried. WEIR_E_UNSUPPORTED: the sentence lists each plugin's reason. */
WEIR_EXPORT weir_status weir_plan_matvec(weir_device *device, const weir_matvec_desc *desc, weir_plan **out_plan);
WEIR_EXPORT weir_status weir_plan_sdpa(weir_device *device, const weir_sdpa_desc *desc, weir_plan **out_plan);
WEIR_EXPORT void weir_plan_free(weir_plan *plan);
/* The name of the plugin that serves; valid as long as the plan. Never null. */
WEIR_EXPORT const char *weir_plan_plugin(const weir_plan *plan);

enum {
  WEIR_CANDIDATE_CHOSEN = 1,   /* the plugin a plan would use */
  WEIR_CANDIDATE_ELIGIBLE = 2, /* could serve, but another comes first */
  WEIR_CANDIDATE_REFUSED = 3,  /* its score is 0 */
  WEIR_CANDIDATE_DENIED = 4,   /* -NAME */
  WEIR_CANDIDATE_UNLISTED = 5, /* the selection names others for this op, without auto */
  WEIR_CANDIDATE_OTHER_OP = 6  /* does not have this operation */
};
typedef struct weir_candidate {
  uint32_t struct_size;
  uint32_t state;
  int32_t score;
  uint32_t reserved;
  const char *plugin; /* as long as the runtime */
  char reason[WEIR_REASON_MAX];
} weir_candidate;

/* Every admitted plugin's answer, in the order in which a plan would try them.
 * Writes at most `capacity` and sets *out_count to how many there are. When a
 * plan would fail, so does this, with the same sentence, after filling in. Each
 * element's struct_size is set by the caller. */
WEIR_EXPORT weir_status weir_explain_matvec(weir_device *device, const weir_matvec_desc *desc,
                                            weir_candidate *out_candidates, uint32_t capacity, uint32_t *out_count);
WEIR_EXPORT weir_status weir_explain_sdpa(weir_device *device, const weir_sdpa_desc *desc,
                                          weir_candidate *out_candidates, uint32_t capacity, uint32_t *out_count);

/* Properties of a plan. act_tag here is unique in the runtime: plans with equal
 * nonzero act_tag read each other's act, whatever their operation. */
WEIR_EXPORT weir_status weir_matvec_get(const weir_plan *plan, weir_matvec_info *out_info);
WEIR_EXPORT weir_status weir_sdpa_get(const weir_plan *plan, weir_sdpa_info *out_info);
/* Bytes for m rows of activations; 0 with an error when m is out of range. */
WEIR_EXPORT uint64_t weir_act_size(const weir_plan *plan, uint32_t m);
/* Bytes of workspace for m rows (matvec) or m queries (sdpa); zero-fill it once. */
WEIR_EXPORT uint64_t weir_workspace_size(const weir_plan *plan, uint32_t m);

/* Packs canonical rows [n0,n1) of the matrix into out_packed, the buffer of the
 * whole matrix in host memory (packed_size bytes). See weir_matvec_vtable.pack. */
WEIR_EXPORT weir_status weir_pack(const weir_plan *plan, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                                  void *out_packed, uint64_t packed_size);

/* ---- Enqueue: launch only, legal under stream capture -------------------- */

WEIR_EXPORT weir_status weir_quantize(const weir_plan *plan, const weir_quantize_args *args, weir_stream stream);
WEIR_EXPORT weir_status weir_matvec(const weir_plan *plan, const weir_matvec_args *args, weir_stream stream);
/* What weir_quantize and then weir_matvec give, bit for bit, in one call: the faster way for
 * x that one matrix reads. Quantise apart when several matrices read it, or when y is to
 * overwrite x: here the two must not overlap. */
WEIR_EXPORT weir_status weir_linear(const weir_plan *plan, const weir_linear_args *args, weir_stream stream);
WEIR_EXPORT weir_status weir_sdpa(const weir_plan *plan, const weir_sdpa_args *args, weir_stream stream);

/* ---- Weights in --------------------------------------------------------- */

/* A GGUF file (version 2 or 3), mapped read-only; every bound is checked when it
 * is opened. Tensors and strings live until weir_gguf_close. */
typedef struct weir_gguf weir_gguf;

typedef struct weir_tensor {
  uint32_t struct_size;
  uint32_t type;      /* GGUF's number: 0 F32, 1 F16, 2 Q4_0, 8 Q8_0, 12 Q4_K, 30 BF16 ... */
  const char *type_name; /* "Q4_K"; "unknown (99)" */
  const char *name;
  uint32_t dim_count; /* 1..4 */
  uint32_t reserved;
  uint64_t dims[4];   /* dims[0] is contiguous: k of a matrix; dims[1] is n */
  const void *data;
  uint64_t bytes;
} weir_tensor;

WEIR_EXPORT weir_status weir_gguf_open(const char *path, weir_gguf **out_gguf);
WEIR_EXPORT void weir_gguf_close(weir_gguf *gguf);
WEIR_EXPORT uint64_t weir_gguf_tensor_count(const weir_gguf *gguf);
WEIR_EXPORT weir_status weir_gguf_tensor(const weir_gguf *gguf, uint64_t index, weir_tensor *out_tensor);
WEIR_EXPORT weir_status weir_gguf_find(const weir_gguf *gguf, const char *name, weir_tensor *out_tensor);
/* Metadata by key. Missing: WEIR_E_NOTFOUND; another type: WEIR_E_TYPE. Integers
 * of any width and bools come as int64 (a u64 above INT64_MAX: WEIR_E_TYPE), floats
 * as double. Strings are not NUL-terminated: *out_length bytes. */
WEIR_EXPORT weir_status weir_gguf_int(const weir_gguf *gguf, const char *key, int64_t *out_value);
WEIR_EXPORT weir_status weir_gguf_float(const weir_gguf *gguf, const char *key, double *out_value);
WEIR_EXPORT weir_status weir_gguf_string(const weir_gguf *gguf, const char *key, const char **out_text,
                                         uint64_t *out_length);
/* Arrays: the number of elements, then one element as above. */
WEIR_EXPORT weir_status weir_gguf_array_count(const weir_gguf *gguf, const char *key, uint64_t *out_count);
WEIR_EXPORT weir_status weir_gguf_array_int(const weir_gguf *gguf, const char *key, uint64_t index,
                                            int64_t *out_value);
WEIR_EXPORT weir_status weir_gguf_array_float(const weir_gguf *gguf, const char *key, uint64_t index,
                                              double *out_value);
WEIR_EXPORT weir_status weir_gguf_array_string(const weir_gguf *gguf, const char *key, uint64_t index,
                                               const char **out_text, uint64_t *out_length);

/* Fills op, n, k, group, form, scale_type and zero_type of a descriptor for a
 * matrix of GGUF's type; the rest stays as it is.
 *   op 0: the form that holds the type exactly (Q4_0, Q4_1, Q4_K: int4; Q5_0, Q5_1,
 *         Q5_K, Q6_K, Q8_0: int8), int8 for F32, F16 and BF16.
 *   op given: that form, by rounding where it is not the exact one.
 * WEIR_E_TYPE: a type without importer; WEIR_E_SHAPE: not a matrix, or k does not fit. */
WEIR_EXPORT weir_status weir_import_describe(const weir_tensor *tensor, weir_op op, weir_matvec_desc *out_desc);
/* How far the imported weights are from the tensor's. 0 and 0 when exact. */
typedef struct weir_import_error {
  uint32_t struct_size;
  uint32_t reserved;
  double max_abs; /* largest difference of a weight */
  double rms;     /* root mean square difference over these rows */
} weir_import_error;
/* Converts rows [n0,n1) to canonical form in [N,groups] order: codes (k/2 or k
 * bytes a row), scales and zeros (k/group elements a row) of the types in desc.
 * out_zeros is null exactly when desc has no zeros; out_error may be null. */
WEIR_EXPORT weir_status weir_import_rows(const weir_tensor *tensor, const weir_matvec_desc *desc, uint32_t n0,
                                         uint32_t n1, void *out_codes, void *out_scales, void *out_zeros,
                                         weir_import_error *out_error);
/* The tensor's own values of rows [n0,n1), [n1-n0,k] in f32 (exact for every type). */
WEIR_EXPORT weir_status weir_tensor_rows(const weir_tensor *tensor, uint64_t n0, uint64_t n1, float *out_rows);

/* ---- The table ---------------------------------------------------------- */

/* Every function above, under its name without "weir_". Members are appended;
 * test for a later one with WEIR_HAS(api, weir_api, member). */
typedef struct weir_api {
  uint32_t struct_size;
  uint16_t abi_major, abi_minor;
  const char *(*last_error)(void);
  const char *(*status_name)(weir_status);
  const char *(*version)(void);
  weir_status (*open)(const weir_options *, weir_runtime **);
  void (*close)(weir_runtime *);
  weir_status (*select)(weir_runtime *, const char *);
  weir_status (*rescan)(weir_runtime *, uint32_t *);
  uint32_t (*plugin_count)(weir_runtime *);
  weir_status (*plugin_get)(weir_runtime *, uint32_t, weir_plugin_info *);
  weir_status (*device_open)(weir_runtime *, const char *, weir_device **);
  void (*device_close)(weir_device *);
  weir_status (*device_get)(const weir_device *, weir_device_info *);
  weir_status (*memory_alloc)(weir_device *, uint64_t, void **);
  void (*memory_free)(weir_device *, void *);
  weir_status (*memory_upload)(weir_device *, void *, const void *, uint64_t, weir_stream);
  weir_status (*memory_download)(weir_device *, void *, const void *, uint64_t, weir_stream);
  weir_status (*memory_fill)(weir_device *, void *, int, uint64_t, weir_stream);
  weir_status (*synchronize)(weir_device *, weir_stream);
  weir_status (*stream_create)(weir_device *, weir_stream *);
  void (*stream_destroy)(weir_device *, weir_stream);
  weir_status (*event_create)(weir_device *, weir_event **);
  void (*event_destroy)(weir_event *);
  weir_status (*event_record)(weir_event *, weir_stream);
  weir_status (*event_elapsed)(weir_event *, weir_event *, float *);
  weir_status (*capture_begin)(weir_device *, weir_stream);
  weir_status (*capture_end)(weir_device *, weir_stream, weir_graph **);
  weir_status (*graph_launch)(weir_graph *, weir_stream);
  void (*graph_destroy)(weir_graph *);
  weir_status (*kernel_get)(weir_device *, const char *, const char *, uint32_t, const weir_kernel **);
  weir_status (*kernel_launch)(weir_device *, const weir_kernel *, const weir_launch *, void *const *, weir_stream);
  weir_status (*plan_matvec)(weir_device *, const weir_matvec_desc *, weir_plan **);
  weir_status (*plan_sdpa)(weir_device *, const weir_sdpa_desc *, weir_plan **);
  void (*plan_free)(weir_plan *);
  const char *(*plan_plugin)(const weir_plan *);
  weir_status (*explain_matvec)(weir_device *, const weir_matvec_desc *, weir_candidate *, uint32_t, uint32_t *);
  weir_status (*explain_sdpa)(weir_device *, const weir_sdpa_desc *, weir_candidate *, uint32_t, uint32_t *);
  weir_status (*matvec_get)(const weir_plan *, weir_matvec_info *);
  weir_status (*sdpa_get)(const weir_plan *, weir_sdpa_info *);
  uint64_t (*act_size)(const weir_plan *, uint32_t);
  uint64_t (*workspace_size)(const weir_plan *, uint32_t);
  weir_status (*pack)(const weir_plan *, const weir_matvec_source *, uint32_t, uint32_t, void *, uint64_t);
  weir_status (*quantize)(const weir_plan *, const weir_quantize_args *, weir_stream);
  weir_status (*matvec)(const weir_plan *, const weir_matvec_args *, weir_stream);
  weir_status (*sdpa)(const weir_plan *, const weir_sdpa_args *, weir_stream);
  weir_status (*gguf_open)(const char *, weir_gguf **);
  void (*gguf_close)(weir_gguf *);
  uint64_t (*gguf_tensor_count)(const weir_gguf *);
  weir_status (*gguf_tensor)(const weir_gguf *, uint64_t, weir_tensor *);
  weir_status (*gguf_find)(const weir_gguf *, const char *, weir_tensor *);
  weir_status (*gguf_int)(const weir_gguf *, const char *, int64_t *);
  weir_status (*gguf_float)(const weir_gguf *, const char *, double *);
  weir_status (*gguf_string)(const weir_gguf *, const char *, const char **, uint64_t *);
  weir_status (*gguf_array_count)(const weir_gguf *, const char *, uint64_t *);
  weir_status (*gguf_array_int)(const weir_gguf *, const char *, uint64_t, int64_t *);
  weir_status (*gguf_array_float)(const weir_gguf *, const char *, uint64_t, double *);
  weir_status (*gguf_array_string)(const weir_gguf *, const char *, uint64_t, const char **, uint64_t *);
  weir_status (*import_describe)(const weir_tensor *, weir_op, weir_matvec_desc *);
  weir_status (*import_rows)(const weir_tensor *, const weir_matvec_desc *, uint32_t, uint32_t, void *, void *,
                             void *, weir_import_error *);
  weir_status (*tensor_rows)(const weir_tensor *, uint64_t, uint64_t, float *);
  weir_status (*linear)(const weir_plan *, const weir_linear_args *, weir_stream);
} weir_api;

/* The table of ABI `major`; null, with a sentence in weir_last_error(), when this
 * library speaks another. The table is constant and lives as long as the library. */
WEIR_EXPORT const weir_api *weir_get_api(uint32_t major);
typedef const weir_api *(*weir_get_api_fn)(uint32_t major);

#ifdef __cplusplus
}
#endif
#endif
