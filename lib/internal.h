/* SPDX-License-Identifier: MIT */

/* What the files of libweir share. Nothing here leaves the library.
 *
 * The story, in the order in which a host meets it:
 *   runtime.c    weir_open: environment and options become a configuration
 *   registry.c   scan.c finds files, loader_*.c opens them, admit.c checks them
 *   device.c     names become device descriptions
 *   desc.c       descriptors are checked
 *   choose.c     selection.c's rules and the plugins' scores pick one
 *   plan.c       the winner prepares
 *   enqueue.c    arguments are checked and handed on
 */
#ifndef WEIR_INTERNAL_H
#define WEIR_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <weir/weir.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define OP_LIMIT 4u /* one past the last weir_op */

/* ---- error.c ---- */
weir_status weir_fail(weir_status code, const char *format, ...) WEIR_PRINTF(2, 3);
weir_status weir_vfail(weir_status code, const char *format, va_list args);
/* How often this thread has failed: tells whether a callee left a sentence. */
unsigned error_count(void);
/* The thread's sentence, to put back after failures that are not the caller's. */
struct saved_error {
  char message[4096];
};
void error_save(struct saved_error *out_saved);
void error_restore(const struct saved_error *saved);
/* Copies a struct that a caller versioned by struct_size into *out of `size`
 * bytes, zero-filled. Refuses one shorter than `least`, and one longer than
 * `size` whose tail is not zero. `what` names the struct in the sentence. */
weir_status weir_struct_in(void *out, size_t size, const void *in, size_t least, const char *what);
/* The reverse: fills the caller's struct as far as its struct_size reaches. */
weir_status weir_struct_out(void *out, const void *in, size_t size, const char *what);

/* ---- lock.c: a mutex that survives fork() ---- */
struct lock {
  pthread_mutex_t mutex;
  atomic_int process;
};
void lock_init(struct lock *lock);
void lock_destroy(struct lock *lock);
void lock_take(struct lock *lock);
bool lock_try(struct lock *lock);
void lock_drop(struct lock *lock);

/* ---- text.c ---- */
/* A string that grows; `failed` is set once memory ran out. */
struct text {
  char *data;
  size_t length, capacity;
  bool failed;
};
void text_add(struct text *text, const char *format, ...) WEIR_PRINTF(2, 3);
void text_free(struct text *text);
char *text_copy(const char *text, size_t length); /* NULL when out of memory */
/* At most this much of a user's text goes into a sentence. */
#define QUOTE_MOST 400
/* The candidate nearest to `word` by edit distance, or NULL if none is near. */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* ---- names.c ---- */
const char *weir_op_name(weir_op op); /* "int4_matvec"; "op 9" is "unknown" */
weir_op weir_op_by_name(const char *text, size_t length); /* 0: none */
const char *weir_type_name(weir_type type);
size_t weir_type_size(weir_type type); /* bytes; 0 for WEIR_NONE and unknown ones */
bool weir_plugin_name_valid(const char *text, size_t length);

/* ---- log.c ---- */
struct log {
  weir_log_fn write;
  void *user;
  int level; /* of areas without a rule */
  struct log_rule {
    char area[32];
    int level;
  } rules[16];
  size_t rule_count;
  struct lock lock;
};
/* `source` names where the spec comes from, in sentences. */
weir_status log_init(struct log *log, const char *spec, const char *source, weir_log_fn write, void *user);
void log_line(struct log *log, int level, const char *area, const char *format, ...) WEIR_PRINTF(4, 5);
void log_vline(struct log *log, int level, const char *area, const char *format, va_list args);

/* ---- env.c ---- */
/* A variable that names code or chooses it: ignored, with one line to the log,
 * in a process that runs with more rights than its caller. */
const char *env_code(struct log *log, const char *name);
/* A variable that cannot name code. */
const char *env_plain(const char *name);

/* ---- pool.c: the threads behind weir_host.parallel ---- */
struct pool;
weir_status pool_create(uint32_t threads, struct pool **out_pool);
void pool_free(struct pool *pool);
uint32_t pool_threads(const struct pool *pool);
void pool_run(struct pool *pool, uint32_t tasks, weir_task_fn task, void *arg);

/* ---- selection.c ---- */
struct selection {
  char *text;
  struct selection_rule {  /* OP=A:B:auto */
    char **names;
    size_t count;
    bool present, ends_auto;
  } rules[OP_LIMIT];
  char **preferred;
  size_t preferred_count;
  char **denied;
  size_t denied_count;
};
/* `source` names where the text comes from, in sentences. */
weir_status selection_parse(const char *text, const char *source, struct selection **out_selection);
void selection_free(struct selection *selection);
bool selection_denies(const struct selection *selection, const char *name);

/* ---- loader_ltdl.c, loader_dlopen.c: one of them is linked ---- */
/* `path` is absolute. On failure *out_why holds the system's own reason. */
weir_status loader_open(const char *path, void **out_handle, struct text *out_why);
const void *loader_symbol(void *handle, const char *name);
void loader_close(void *handle);
extern const char loader_name[];

/* ---- scan.c ---- */
/* One place to look at: a plugin file, or a path that could not be searched. */
struct found {
  char *path;
  char *problem; /* NULL for a file */
  bool writable; /* by every user */
};
struct found_list {
  struct found *items;
  size_t count, capacity;
};
/* Adds the plugin files of one absolute directory, sorted, or of one file. */
weir_status scan_path(const char *path, bool must_exist, struct found_list *list);
/* Splits WEIR_PLUGIN_PATH at ':' and scans each part in turn. */
weir_status scan_search_path(const char *search_path, struct found_list *list);
void found_list_free(struct found_list *list);

/* ---- host.c: what plugins get instead of symbols ---- */
struct host_services {
  weir_host table; /* first: plugins hold a pointer to it */
  weir_runtime *runtime;
  const char *plugin; /* its name */
  const char *path;   /* of its file */
};
void host_services_init(struct host_services *out, weir_runtime *runtime, const char *plugin, const char *path);

/* ---- admit.c ---- */
/* A plugin as the registry keeps it: its own words, and tables without holes. */
struct entry {
  struct host_services host;
  weir_status status;
  char *path;   /* "builtin" or the file */
  char *name;
  char *reason; /* why refused, "" if not */
  weir_plugin plugin;
  weir_matvec_vtable matvec[OP_LIMIT]; /* [WEIR_OP_INT4_MATVEC], [WEIR_OP_INT8_MATVEC] */
  weir_sdpa_vtable sdpa;
  uint32_t ops; /* bit 1 << op */
  void *state;
  bool initialised;
  void *handle;
  struct entry *replaced; /* the refusal that a rescan put this one in place of */
};
/* Checks *symbol (a weir_plugin of any version) and fills entry. `where` names
 * it in sentences. On failure weir_last_error() says why. */
weir_status admit(const void *symbol, const char *where, struct entry *out_entry);

/* ---- registry.c ---- */
struct registry {
  struct entry **entries; /* admitted and refused, in search order; never shrinks */
  size_t count, capacity;
};
weir_status registry_load(weir_runtime *runtime, uint32_t *out_admitted);
void registry_free(weir_runtime *runtime);
/* The caller holds runtime->lock. */
struct entry *registry_find_locked(weir_runtime *runtime, const char *name);
const char *registry_nearest_locked(weir_runtime *runtime, const char *name, weir_op op);

/* ---- runtime.c ---- */
struct weir_runtime {
  atomic_uint references;
  struct lock lock; /* registry, selection */
  struct log log;
  struct registry registry;
  struct selection *selection;
  char *plugin_path, *ptx_path, *cuda_library; /* "" where not given */
  struct cuda_driver *cuda; /* once a CUDA device was asked for */
  struct pool *pool;
};
void runtime_retain(weir_runtime *runtime);
void runtime_release(weir_runtime *runtime);

/* ---- cpuinfo.c ---- */
void cpu_describe(weir_device_info *out_info);

/* ---- device.c ---- */
struct weir_device {
  atomic_uint references;
  weir_runtime *runtime;
  weir_device_info info;
  struct pool *pool; /* of its own, where it has another number of threads than the runtime */
  struct cuda_device *cuda; /* of a CUDA device that is here */
};
/* Every call into a plugin for a device stands between these two: host services
 * then act for that device. */
struct device_scope {
  const weir_device *outer;
  bool pushed; /* its CUDA context */
};
weir_status device_enter(const weir_device *device, struct device_scope *out_scope);
/* The same, to give something back: one failed call of the driver is not enough to
 * lose it. */
weir_status device_enter_to_free(const weir_device *device, struct device_scope *out_scope);
void device_leave(const weir_device *device, struct device_scope scope);
const weir_device *device_current(void); /* the one this thread is in, or NULL */

/* ---- stream.c ---- */
weir_status launch_check(const weir_launch *launch, weir_launch *out_known);
void device_retain(weir_device *device);
void device_release(weir_device *device);

/* ---- desc.c ---- */
weir_status desc_check_matvec(const weir_matvec_desc *in, weir_matvec_desc *out_desc);
weir_status desc_check_sdpa(const weir_sdpa_desc *in, weir_sdpa_desc *out_desc);
weir_type mask_element_type(weir_mask mask);

/* ---- choose.c ---- */
struct question {
  weir_op op;
  const weir_matvec_desc *matvec; /* one of the two */
  const weir_sdpa_desc *sdpa;
};
/* Fills candidates (capacity may be 0) and finds the plugin to use. */
weir_status choose(weir_device *device, const struct question *question, weir_candidate *out_candidates,
                   uint32_t capacity, uint32_t *out_count, struct entry **out_entry);

/* ---- plan.c ---- */
struct weir_plan {
  weir_device *device;
  struct entry *entry;
  weir_op op;
  weir_plugin_plan *plan;
  union {
    struct {
      const weir_matvec_vtable *vtable;
      weir_matvec_desc desc;
      weir_matvec_info info;
    } matvec;
    struct {
      const weir_sdpa_vtable *vtable;
      weir_sdpa_desc desc;
      weir_sdpa_info info;
    } sdpa;
  };
};
static inline bool plan_is_matvec(const weir_plan *plan) { return plan->op != WEIR_OP_SDPA; }
/* The plan is there, and of a matvec or of sdpa as the call needs. */
weir_status plan_check_kind(const weir_plan *plan, bool matvec, const char *call);

#endif
