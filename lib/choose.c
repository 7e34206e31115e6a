/* SPDX-License-Identifier: MIT */

/* Which plugin serves: the operation's own rule first (OP=A:B), then, where there
 * is none or it ends in auto, the preferred names, the score, and the name. What
 * the user named and cannot have is an error, never a reason to take another. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct ranked {
  struct entry *entry;
  uint32_t state;
  size_t named; /* place among the names of the rule or the preferred, else SIZE_MAX */
  weir_score score;
};

static size_t place(char **names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return i;
  return SIZE_MAX;
}

static void ask(struct entry *entry, const weir_device *device, const struct question *question, weir_score *out) {
  *out = (weir_score){.struct_size = sizeof *out};
  if (question->op == WEIR_OP_SDPA)
    entry->sdpa.score(entry->state, &device->info, question->sdpa, out);
  else
    entry->matvec[question->op].score(entry->state, &device->info, question->matvec, out);
  out->reason[sizeof out->reason - 1] = '\0';
  if (!out->reason[0]) snprintf(out->reason, sizeof out->reason, "%s gives no reason", entry->name);
}

static void rank_one(struct ranked *out, struct entry *entry, const weir_device *device,
                     const struct question *question, const struct selection *selection) {
  const struct selection_rule *rule = &selection->rules[question->op];
  *out = (struct ranked){.entry = entry, .named = SIZE_MAX, .score = {.struct_size = sizeof out->score}};
  if (rule->present) out->named = place(rule->names, rule->count, entry->name);
  bool unlisted = rule->present && out->named == SIZE_MAX && !rule->ends_auto;
  if (out->named == SIZE_MAX) {
    size_t preferred = place(selection->preferred, selection->preferred_count, entry->name);
    if (preferred != SIZE_MAX) out->named = rule->count + preferred;
  }
  if (!(entry->ops & 1u << question->op)) {
    out->state = WEIR_CANDIDATE_OTHER_OP;
    weir_score_set(&out->score, 0, "it has no %s", weir_op_name(question->op));
    return;
  }
  ask(entry, device, question, &out->score);
  if (selection_denies(selection, entry->name)) {
    out->state = WEIR_CANDIDATE_DENIED;
    weir_score_set(&out->score, out->score.value, "the selection denies it (-%s)", entry->name);
  } else if (unlisted) {
    out->state = WEIR_CANDIDATE_UNLISTED;
  } else {
    out->state = out->score.value > 0 ? WEIR_CANDIDATE_ELIGIBLE : WEIR_CANDIDATE_REFUSED;
  }
}

static int in_order(const void *left, const void *right) {
  const struct ranked *a = left, *b = right;
  if (a->state != b->state) return a->state < b->state ? -1 : 1;
  if (a->named != b->named) return a->named < b->named ? -1 : 1;
  if (a->score.value != b->score.value) return a->score.value > b->score.value ? -1 : 1;
  return strcmp(a->entry->name, b->entry->name);
}

static void add_search(struct text *out, weir_runtime *runtime) {
  text_add(out, "; searched:");
  if (runtime->plugin_path[0]) text_add(out, " %s (WEIR_PLUGIN_PATH or options),", runtime->plugin_path);
  text_add(out, " the builtins, %s; found:", PLUGINDIR);
  for (size_t i = 0; i < runtime->registry.count; i++) {
    const struct entry *entry = runtime->registry.entries[i];
    text_add(out, "%s %s (%s%s)", i ? "," : "", entry->name, entry->status ? "refused: " : "",
             entry->status ? entry->reason : entry->path);
  }
}

static weir_status fail_missing(weir_runtime *runtime, const char *name, weir_op op) {
  const char *nearest = registry_nearest_locked(runtime, name, op);
  struct text sentence = {0};
  text_add(&sentence, "the selection \"%.*s\" names the plugin \"%s\"", QUOTE_MOST, runtime->selection->text, name);
  if (op) text_add(&sentence, " for %s", weir_op_name(op));
  text_add(&sentence, ", and there is none of that name");
  if (nearest) text_add(&sentence, "; the nearest is \"%s\"", nearest);
  add_search(&sentence, runtime);
  weir_fail(WEIR_E_NOTFOUND, "%s", sentence.data ? sentence.data : name);
  text_free(&sentence);
  return WEIR_E_NOTFOUND;
}

/* Names in the selection that no plugin has. Listed before another choice they
 * are only worth a line; where nothing else was named they are an error. */
static weir_status check_names(weir_runtime *runtime, weir_op op) {
  const struct selection *selection = runtime->selection;
  const struct selection_rule *rule = &selection->rules[op];
  size_t missing = 0;
  for (size_t i = 0; i < rule->count; i++)
    if (!registry_find_locked(runtime, rule->names[i])) {
      missing++;
      log_line(&runtime->log, WEIR_LOG_WARN, "select", "%s=%s: no plugin has that name", weir_op_name(op),
               rule->names[i]);
    }
  if (rule->present && missing == rule->count && !rule->ends_auto)
    return fail_missing(runtime, rule->names[0], op);
  for (size_t i = 0; i < selection->preferred_count; i++)
    if (!registry_find_locked(runtime, selection->preferred[i]))
      return fail_missing(runtime, selection->preferred[i], 0);
  for (size_t i = 0; i < selection->denied_count; i++)
    if (!registry_find_locked(runtime, selection->denied[i]))
      log_line(&runtime->log, WEIR_LOG_WARN, "select", "-%s: no plugin has that name", selection->denied[i]);
  return WEIR_OK;
}

static void add_problem(struct text *out, const struct question *question) {
  if (question->op == WEIR_OP_SDPA)
    text_add(out, "sdpa of %u:%u heads of %u over %u slots", question->sdpa->q_heads, question->sdpa->kv_heads,
             question->sdpa->head_dim, question->sdpa->kv_capacity);
  else
    text_add(out, "%s n=%u k=%u group %u", weir_op_name(question->op), question->matvec->n, question->matvec->k,
             question->matvec->group);
}

static weir_status fail_unserved(const weir_device *device, const struct question *question,
                                 const struct ranked *ranked, size_t count) {
  weir_runtime *runtime = device->runtime;
  struct text sentence = {0};
  text_add(&sentence, "no plugin serves ");
  add_problem(&sentence, question);
  text_add(&sentence, " on %s", device->info.name);
  if (runtime->selection->text[0]) text_add(&sentence, " under the selection \"%.*s\"", QUOTE_MOST, runtime->selection->text);
  text_add(&sentence, "; ");
  size_t told = 0;
  for (size_t i = 0; i < count; i++) {
    const struct ranked *one = &ranked[i];
    bool unlisted = one->state == WEIR_CANDIDATE_UNLISTED;
    if (one->state == WEIR_CANDIDATE_OTHER_OP && one->named == SIZE_MAX) continue;
    text_add(&sentence, "%s%s: %s", told++ ? "; " : "", one->entry->name,
             unlisted ? "the selection does not list it" : one->score.reason);
  }
  if (!told) {
    text_add(&sentence, "none of the plugins has this operation");
    add_search(&sentence, runtime);
  }
  weir_fail(WEIR_E_UNSUPPORTED, "%s", sentence.data ? sentence.data : "no plugin serves this");
  text_free(&sentence);
  return WEIR_E_UNSUPPORTED;
}

static void tell(const struct ranked *ranked, size_t count, weir_candidate *out_candidates, uint32_t capacity) {
  for (size_t i = 0; i < count && i < capacity; i++) {
    weir_candidate candidate = {.state = ranked[i].state, .score = ranked[i].score.value,
                                .plugin = ranked[i].entry->name};
    memcpy(candidate.reason, ranked[i].score.reason, sizeof candidate.reason);
    weir_struct_out(&out_candidates[i], &candidate, sizeof candidate, "weir_candidate");
  }
}

static weir_status choose_locked(weir_device *device, const struct question *question, weir_candidate *out_candidates,
                                 uint32_t capacity, uint32_t *out_count, struct entry **out_entry) {
  weir_runtime *runtime = device->runtime;
  struct ranked *ranked = calloc(runtime->registry.count + 1, sizeof *ranked);
  if (!ranked) return weir_fail(WEIR_E_NOMEM, "no memory to rank the plugins");
  size_t count = 0;
  for (size_t i = 0; i < runtime->registry.count; i++)
    if (runtime->registry.entries[i]->status == WEIR_OK)
      rank_one(&ranked[count++], runtime->registry.entries[i], device, question, runtime->selection);
  qsort(ranked, count, sizeof *ranked, in_order);
  weir_status status = check_names(runtime, question->op);
  if (!status && count && ranked[0].state == WEIR_CANDIDATE_ELIGIBLE) {
    ranked[0].state = WEIR_CANDIDATE_CHOSEN;
    *out_entry = ranked[0].entry;
  } else if (!status) {
    status = fail_unserved(device, question, ranked, count);
  }
  tell(ranked, count, out_candidates, capacity);
  *out_count = (uint32_t)count;
  free(ranked);
  return status;
}

weir_status choose(weir_device *device, const struct question *question, weir_candidate *out_candidates,
                   uint32_t capacity, uint32_t *out_count, struct entry **out_entry) {
  *out_entry = NULL;
  *out_count = 0;
  lock_take(&device->runtime->lock);
  weir_status status = choose_locked(device, question, out_candidates, capacity, out_count, out_entry);
  lock_drop(&device->runtime->lock);
  return status;
}
