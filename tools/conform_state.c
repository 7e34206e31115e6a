/* SPDX-License-Identifier: MIT */

#include "conform_case.h"

#include <stdarg.h>
#include <stdlib.h>

int conform_fail(struct conform *c, const char *check, const char *format, ...) {
  if (c->check[0] == 0) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->detail, sizeof c->detail, format, args);
    va_end(args);
    c->check = check;
  }
  return -1;
}

int conform_fail_call(struct conform *c, const char *check, const char *call, weir_status status) {
  return conform_fail(c, check, "%s gave %s: %s", call, weir_status_name(status), weir_last_error());
}

int conform_tampered(const struct conform *c, enum conform_tamper kind) {
  return kind != CONFORM_TAMPER_NONE && c->options->tamper == kind;
}

weir_stream conform_stream(const struct conform *c, const weir_device *device) {
  return device == c->device ? c->stream : NULL;
}

static void drop(const struct garbage *item) {
  if (item->graph) {
    weir_graph_destroy(item->graph);
  } else if (item->plan) {
    weir_plan_free(item->plan);
  } else if (item->device) {
    weir_memory_free(item->device, item->memory);
  } else {
    free(item->memory);
  }
}

int conform_keep(struct conform *c, struct garbage item) {
  if (c->garbage_count == c->garbage_capacity) {
    size_t capacity = c->garbage_capacity ? 2 * c->garbage_capacity : 64;
    struct garbage *grown = realloc(c->garbage, capacity * sizeof *grown);
    if (!grown) {
      drop(&item);
      return conform_fail(c, "run", "no memory");
    }
    c->garbage = grown;
    c->garbage_capacity = capacity;
  }
  c->garbage[c->garbage_count++] = item;
  return 0;
}

void *conform_memory(struct conform *c, uint64_t bytes) {
  void *memory = calloc(1, bytes ? bytes : 1);
  if (!memory) {
    conform_fail(c, "run", "no memory for %llu bytes", (unsigned long long)bytes);
    return NULL;
  }
  return conform_keep(c, (struct garbage){.memory = memory}) ? NULL : memory;
}

void conform_clean(struct conform *c) {
  if (c->stream) {
    weir_synchronize(c->device, c->stream); /* a case that failed may have left work behind */
  }
  while (c->garbage_count) {
    drop(&c->garbage[--c->garbage_count]);
  }
}

void conform_note_kernel(struct conform *c, const char *kernel) {
  char *list = c->summary->kernels;
  size_t length = strlen(kernel);
  for (const char *at = list; (at = strstr(at, kernel)) != NULL; at += length) {
    char before = at == list ? ',' : at[-2], after = at[length];
    if (before == ',' && (after == ',' || after == 0)) {
      return;
    }
  }
  size_t used = strlen(list), room = sizeof c->summary->kernels - used;
  if (length + 3 <= room) {
    snprintf(list + used, room, "%s%s", used ? ", " : "", kernel);
  }
}

static weir_status make_plan(weir_device *device, const weir_matvec_desc *matvec, const weir_sdpa_desc *sdpa,
                             weir_plan **out_plan) {
  *out_plan = NULL;
  return matvec ? weir_plan_matvec(device, matvec, out_plan) : weir_plan_sdpa(device, sdpa, out_plan);
}

/* The plugin's own words, which are shorter than the sentence of the failed plan. */
static void find_reason(struct conform *c, const weir_matvec_desc *matvec, const weir_sdpa_desc *sdpa) {
  enum { MOST = 64 };
  weir_candidate *candidates = calloc(MOST, sizeof *candidates);
  uint32_t count = 0;
  snprintf(c->detail, sizeof c->detail, "%s", weir_last_error());
  if (!candidates) {
    return;
  }
  for (int i = 0; i < MOST; ++i) {
    candidates[i].struct_size = sizeof *candidates;
  }
  if (matvec) {
    weir_explain_matvec(c->device, matvec, candidates, MOST, &count);
  } else {
    weir_explain_sdpa(c->device, sdpa, candidates, MOST, &count);
  }
  for (uint32_t i = 0; i < count && i < MOST; ++i) {
    if (candidates[i].plugin && strcmp(candidates[i].plugin, c->options->plugin) == 0 &&
        candidates[i].state == WEIR_CANDIDATE_REFUSED && candidates[i].reason[0]) {
      snprintf(c->detail, sizeof c->detail, "%s", candidates[i].reason);
    }
  }
  free(candidates);
}

int conform_plan(struct conform *c, const weir_matvec_desc *matvec, const weir_sdpa_desc *sdpa, weir_plan **out_plan) {
  *out_plan = NULL;
  if (conform_tampered(c, CONFORM_TAMPER_REFUSE)) {
    snprintf(c->detail, sizeof c->detail, "refused for the test's sake");
    return 1;
  }
  weir_status status = make_plan(c->device, matvec, sdpa, out_plan);
  if (status == WEIR_E_UNSUPPORTED) {
    find_reason(c, matvec, sdpa);
    return 1;
  }
  if (status != WEIR_OK) {
    return conform_fail_call(c, "plan", matvec ? "weir_plan_matvec" : "weir_plan_sdpa", status);
  }
  if (conform_keep(c, (struct garbage){.plan = *out_plan})) {
    return -1;
  }
  const char *plugin = weir_plan_plugin(*out_plan);
  if (strcmp(plugin, c->options->plugin) != 0) {
    return conform_fail(c, "plan", "plugin '%s' serves the plan, not '%s'", plugin, c->options->plugin);
  }
  return 0;
}

int conform_oracle_plan(struct conform *c, const weir_matvec_desc *matvec, const weir_sdpa_desc *sdpa,
                        weir_plan **out_plan) {
  weir_status status = make_plan(c->oracle_device, matvec, sdpa, out_plan);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "reference", "planning with 'ref'", status);
  }
  return conform_keep(c, (struct garbage){.plan = *out_plan});
}

int conform_twin_plan(struct conform *c, const weir_matvec_desc *desc, weir_plan **out_plan) {
  char selection[512];
  *out_plan = NULL;
  conform_selection(c->options->bit_identical, selection, sizeof selection);
  weir_status status = weir_select(c->runtime, selection);
  if (status == WEIR_OK) {
    status = weir_plan_matvec(c->device, desc, out_plan);
  }
  if (status != WEIR_OK) {
    conform_fail_call(c, "bit-identical", "planning with the other plugin", status);
  } else if (conform_keep(c, (struct garbage){.plan = *out_plan})) {
    *out_plan = NULL;
  }
  conform_selection(c->options->plugin, selection, sizeof selection);
  status = weir_select(c->runtime, selection);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "bit-identical", "weir_select", status);
  }
  return *out_plan ? 0 : -1;
}
