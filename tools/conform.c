/* SPDX-License-Identifier: MIT */

#include "conform_case.h"

#include <stdarg.h>
#include <stdlib.h>

void case_append(char *name, const char *format, ...) {
  size_t used = strlen(name);
  va_list args;
  va_start(args, format);
  vsnprintf(name + used, CASE_NAME_MAX - used, format, args);
  va_end(args);
}

void case_add(struct case_list *list, const struct conform_case *item) {
  for (size_t i = 0; i < list->count; ++i) {
    if (strcmp(list->cases[i].name, item->name) == 0) {
      list->cases[i].quick |= item->quick;
      return;
    }
  }
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? 2 * list->capacity : 512;
    struct conform_case *grown = realloc(list->cases, capacity * sizeof *grown);
    if (!grown) {
      list->out_of_memory = 1;
      return;
    }
    list->cases = grown;
    list->capacity = capacity;
  }
  list->cases[list->count++] = *item;
}

enum { TINY_CASES = 24 };

/* Of every operation's quick cases, so many, from all over the list: each family of
 * cases has its share. */
static void mark_tiny(struct case_list *list) {
  uint64_t all[WEIR_OP_SDPA + 1] = {0}, seen[WEIR_OP_SDPA + 1] = {0};
  for (size_t i = 0; i < list->count; ++i) {
    all[list->cases[i].op] += list->cases[i].quick != 0;
  }
  for (size_t i = 0; i < list->count; ++i) {
    struct conform_case *item = &list->cases[i];
    uint64_t at = seen[item->op], of = all[item->op];
    if (item->quick) {
      item->tiny = (at + 1) * TINY_CASES / of > at * TINY_CASES / of;
      seen[item->op]++;
    }
  }
}

/* Drops what the options leave out; `ops` has bit 1 << op for each wanted. */
static void select_cases(const struct conform_options *options, uint32_t ops, struct case_list *list) {
  size_t kept = 0;
  int by_name = 0;
  for (size_t i = 0; options->filter && i < list->count; ++i) {
    by_name |= strcmp(list->cases[i].name, options->filter) == 0;
  }
  for (size_t i = 0; i < list->count; ++i) {
    const struct conform_case *item = &list->cases[i];
    int short_enough = options->tiny ? item->tiny : options->quick ? item->quick : 1;
    int wanted = (ops >> item->op & 1) && (short_enough || by_name);
    if (wanted && options->filter) {
      wanted = by_name ? strcmp(item->name, options->filter) == 0 : strstr(item->name, options->filter) != NULL;
    }
    if (wanted) {
      list->cases[kept++] = *item;
    }
  }
  list->count = kept;
}

static int make_cases(const struct conform_options *options, uint32_t ops, struct case_list *list) {
  memset(list, 0, sizeof *list);
  matvec_cases(list, WEIR_OP_INT4_MATVEC, options->seed);
  matvec_cases(list, WEIR_OP_INT8_MATVEC, options->seed);
  sdpa_cases(list, options->seed);
  mark_tiny(list);
  select_cases(options, ops, list);
  return list->out_of_memory ? -1 : 0;
}

static const char *op_name(weir_op op) {
  return op == WEIR_OP_INT4_MATVEC ? "int4_matvec" : op == WEIR_OP_INT8_MATVEC ? "int8_matvec" : "sdpa";
}

static int complain(struct conform_summary *summary, const char *format, ...) WEIR_PRINTF(2, 3);
static int complain(struct conform_summary *summary, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(summary->error, sizeof summary->error, format, args);
  va_end(args);
  return -1;
}

int conform_selection(const char *plugin, char *out_text, size_t size) {
  int length = snprintf(out_text, size, "int4_matvec=%s,int8_matvec=%s,sdpa=%s", plugin, plugin, plugin);
  return length >= (int)size ? -1 : 0;
}

static int open_runtime(const char *plugin, const char *plugin_path, const char *device, weir_runtime **out_runtime,
                        weir_device **out_device, struct conform_summary *summary) {
  char selection[512];
  weir_options options = {.struct_size = sizeof options};
  if (conform_selection(plugin, selection, sizeof selection)) {
    return complain(summary, "the name of the plugin is too long: %.80s...", plugin);
  }
  options.selection = selection;
  options.plugin_path = plugin_path;
  if (weir_open(&options, out_runtime) != WEIR_OK) {
    return complain(summary, "cannot open weir for plugin '%s': %s", plugin, weir_last_error());
  }
  if (weir_device_open(*out_runtime, device, out_device) != WEIR_OK) {
    return complain(summary, "cannot open device '%s': %s", device, weir_last_error());
  }
  return 0;
}

/* The operations of the admitted plugin of that name, as bits; 0 after complain(). */
static uint32_t find_plugin(weir_runtime *runtime, const char *name, struct conform_summary *summary) {
  const char *reason = NULL;
  uint32_t count = weir_plugin_count(runtime);
  for (uint32_t i = 0; i < count; ++i) {
    weir_plugin_info info = {.struct_size = sizeof info};
    if (weir_plugin_get(runtime, i, &info) != WEIR_OK || strcmp(info.name, name) != 0) {
      continue;
    }
    if (info.status == WEIR_OK) {
      if (info.ops == 0) {
        complain(summary, "plugin '%s' (%s) has no operation of this weir", name, info.path);
      }
      return info.ops;
    }
    reason = info.reason;
  }
  if (reason) {
    complain(summary, "plugin '%s' was refused: %s", name, reason);
  } else {
    complain(summary, "there is no plugin '%s' (%u are known; see 'weir list' and WEIR_PLUGIN_PATH)", name, count);
  }
  return 0;
}

/* What the device and the options have to do with each other. 0, or -1 after complain(). */
static int prepare_device(struct conform *c, const char *device, uint32_t ops) {
  const struct conform_options *options = c->options;
  struct conform_summary *summary = c->summary;
  weir_device_info info = {.struct_size = sizeof info};
  if (weir_device_get(c->device, &info) != WEIR_OK || (info.flags & WEIR_DEVICE_SYNTHETIC)) {
    return complain(summary, "device '%s' is only a description; plugins run on devices that are here", device);
  }
  if (options->graph && info.kind == WEIR_DEVICE_CPU) {
    return complain(summary, "calls on '%s' cannot be captured in a graph; graphs need a CUDA device, such as cuda:0",
                    device);
  }
  if (options->bit_identical) {
    char selection[512];
    uint32_t twin_ops = find_plugin(c->runtime, options->bit_identical, summary);
    if (twin_ops == 0) {
      return -1;
    }
    uint32_t matvecs = UINT32_C(1) << WEIR_OP_INT4_MATVEC | UINT32_C(1) << WEIR_OP_INT8_MATVEC;
    if ((ops & matvecs) == 0) {
      return complain(summary, "there is nothing to compare with '%s': only results of matvecs are compared, and no "
                      "case has one", options->bit_identical);
    }
    if ((ops & matvecs & ~twin_ops) != 0) {
      return complain(summary, "'%s' does not have every matvec that '%s' has, so their bits cannot be compared",
                      options->bit_identical, options->plugin);
    }
    if (conform_selection(options->bit_identical, selection, sizeof selection)) {
      return complain(summary, "the name of the plugin is too long: %.80s...", options->bit_identical);
    }
  }
  if (info.kind != WEIR_DEVICE_CPU && weir_stream_create(c->device, &c->stream) != WEIR_OK) {
    return complain(summary, "cannot make a stream on '%s': %s", device, weir_last_error());
  }
  return 0;
}

/* After a failed case: some failures leave a device that can do nothing any more. */
static int is_device_lost(struct conform *c, const char *name, uint32_t left) {
  if (!c->stream || weir_synchronize(c->device, c->stream) == WEIR_OK) {
    return 0;
  }
  complain(c->summary, "the device failed in the case %s, and %u cases after it were not run: %s", name, left,
           weir_last_error());
  return 1;
}

static void run_case(struct conform *c, const struct conform_case *item, struct conform_result *result) {
  c->item = item;
  c->check = "";
  c->detail[0] = 0;
  rng_seed(&c->rng, rng_seed_of(c->options->seed, item->name));
  result->name = item->name;
  result->op = item->op;
  result->must = conform_must(c->options->plugin, item);
  result->status = item->op == WEIR_OP_SDPA ? sdpa_run(c, &item->u.sdpa) : matvec_run(c, &item->u.matvec);
  if (result->status == CONFORM_UNSUPPORTED && result->must) {
    result->status = CONFORM_FAIL;
    c->check = "unsupported";
  }
  result->check = c->check;
  result->detail = c->detail;
  conform_clean(c);
}

int conform_run(const struct conform_options *options, conform_report_fn report, void *user,
                struct conform_summary *out_summary) {
  struct conform c = {.options = options, .summary = out_summary, .check = ""};
  struct case_list list = {0};
  const char *device = options->device ? options->device : "cpu";
  struct conform_summary missing;
  int result = -1;
  memset(out_summary, 0, sizeof *out_summary);
  out_summary->seed = options->seed;
  if (!options->plugin || !options->plugin[0]) {
    return complain(out_summary, "no plugin was named");
  }
  if (open_runtime(options->plugin, options->plugin_path, device, &c.runtime, &c.device, out_summary) ||
      open_runtime("ref", options->plugin_path, "cpu", &c.oracle_runtime, &c.oracle_device, out_summary)) {
    goto out;
  }
  uint32_t ops = find_plugin(c.runtime, options->plugin, out_summary);
  if (ops == 0) {
    goto out;
  }
  if (find_plugin(c.oracle_runtime, "ref", &missing) == 0) {
    complain(out_summary, "the oracle is missing: %s", missing.error);
    goto out;
  }
  if (options->op && !(ops >> options->op & 1)) {
    complain(out_summary, "plugin '%s' has no %s", options->plugin, op_name(options->op));
    goto out;
  }
  if (options->op) {
    ops = UINT32_C(1) << options->op;
  }
  if (prepare_device(&c, device, ops)) {
    goto out;
  }
  if (make_cases(options, ops, &list)) {
    complain(out_summary, "no memory for the list of cases");
    goto out;
  }
  if (list.count == 0) {
    complain(out_summary, "no case has '%s' in its name; see 'weir verify --list'",
             options->filter ? options->filter : "");
    goto out;
  }
  out_summary->selected = (uint32_t)list.count;
  for (size_t i = 0; i < list.count; ++i) {
    struct conform_result one = {.index = (uint32_t)i, .count = (uint32_t)list.count};
    if (options->starting) {
      options->starting(user, list.cases[i].name);
    }
    run_case(&c, &list.cases[i], &one);
    out_summary->passed += one.status == CONFORM_PASS;
    out_summary->failed += one.status == CONFORM_FAIL;
    out_summary->unsupported += one.status == CONFORM_UNSUPPORTED;
    if (report) {
      report(user, &one);
    }
    if (one.status == CONFORM_FAIL &&
        is_device_lost(&c, list.cases[i].name, (uint32_t)(list.count - i - 1))) {
      goto out;
    }
  }
  result = 0;
out:
  free(c.garbage);
  free(list.cases);
  if (c.stream) {
    weir_stream_destroy(c.device, c.stream);
  }
  weir_device_close(c.oracle_device);
  weir_device_close(c.device);
  weir_close(c.oracle_runtime);
  weir_close(c.runtime);
  return result;
}

int conform_passed(const struct conform_summary *summary) { return summary->failed == 0 && summary->passed > 0; }

int conform_list(const struct conform_options *options, conform_list_fn list, void *user) {
  struct case_list cases;
  uint32_t ops = options->op ? UINT32_C(1) << options->op : UINT32_MAX;
  int result = make_cases(options, ops, &cases);
  for (size_t i = 0; result == 0 && i < cases.count; ++i) {
    const struct conform_case *item = &cases.cases[i];
    list(user, item->name, item->op, conform_must(options->plugin ? options->plugin : "", item));
  }
  free(cases.cases);
  return result;
}
