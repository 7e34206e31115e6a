/* SPDX-License-Identifier: MIT */

/* Which plugins there are. Search order: WEIR_PLUGIN_PATH, the builtins, the
 * installed directory. The first plugin of a name wins, so that a path someone
 * names beats what is installed; the others are listed as refused. */
#include "config.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtins.h"
#include "internal.h"

static void entry_free(struct entry *entry) {
  if (!entry) return;
  if (entry->initialised && entry->plugin.fini) entry->plugin.fini(entry->state);
  if (entry->handle && (!entry->initialised || entry->plugin.flags & WEIR_PLUGIN_UNLOADABLE))
    loader_close(entry->handle);
  free(entry->path);
  free(entry->name);
  free(entry->reason);
  entry_free(entry->replaced);
  free(entry);
}

static struct entry *find_path(weir_runtime *runtime, const char *path, const char *name) {
  for (size_t i = 0; i < runtime->registry.count; i++) {
    struct entry *entry = runtime->registry.entries[i];
    if (strcmp(entry->path, path) == 0 && (!name || strcmp(entry->name, name) == 0)) return entry;
  }
  return NULL;
}

struct entry *registry_find_locked(weir_runtime *runtime, const char *name) {
  for (size_t i = 0; i < runtime->registry.count; i++) {
    struct entry *entry = runtime->registry.entries[i];
    if (entry->status == WEIR_OK && strcmp(entry->name, name) == 0) return entry;
  }
  return NULL;
}

const char *registry_nearest_locked(weir_runtime *runtime, const char *name, weir_op op) {
  const char *names[64];
  size_t count = 0;
  for (size_t i = 0; i < runtime->registry.count && count < COUNT_OF(names); i++) {
    struct entry *entry = runtime->registry.entries[i];
    if (entry->status == WEIR_OK && (!op || entry->ops & 1u << op)) names[count++] = entry->name;
  }
  return text_nearest(name, names, count);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

/* Puts the entry in place of the refusal of the same file, or at the end; takes it
 * over, whatever comes back. */
static weir_status add(weir_runtime *runtime, struct entry *entry) {
  struct registry *registry = &runtime->registry;
  for (size_t i = 0; i < registry->count; i++)
    if (registry->entries[i]->status && strcmp(registry->entries[i]->path, entry->path) == 0) {
      entry->replaced = registry->entries[i];
      registry->entries[i] = entry;
      return WEIR_OK;
    }
  if (registry->count == registry->capacity) {
    size_t capacity = registry->capacity ? registry->capacity * 2 : 16;
    struct entry **grown = realloc(registry->entries, capacity * sizeof(struct entry *));
    if (!grown) {
      entry_free(entry);
      return weir_fail(WEIR_E_NOMEM, "no memory for the plugin list");
    }
    registry->entries = grown;
    registry->capacity = capacity;
  }
  registry->entries[registry->count++] = entry;
  return WEIR_OK;
}

static weir_status initialise(weir_runtime *runtime, struct entry *entry, const char *where) {
  host_services_init(&entry->host, runtime, entry->plugin.name, entry->path);
  if (entry->plugin.init) {
    unsigned failures = error_count();
    weir_status status = entry->plugin.init(&entry->host.table, &entry->state);
    if (status)
      return weir_fail(status, "%s: its init() failed with %s: %s", where, weir_status_name(status),
                       error_count() == failures ? "it gave no reason" : weir_last_error());
  }
  entry->initialised = true;
  return WEIR_OK;
}

static weir_status check_name_free(weir_runtime *runtime, const struct entry *entry, const char *where) {
  struct entry *other = registry_find_locked(runtime, entry->plugin.name);
  if (!other) return WEIR_OK;
  return weir_fail(WEIR_E_INVALID, "%s: the name \"%s\" is taken by %s, which comes first; rename or remove one", where,
                   entry->plugin.name, other->path);
}

/* Records one plugin, admitted or refused. *out_admitted counts up. Only running
 * out of memory is an error of the caller. */
static weir_status record(weir_runtime *runtime, const char *path, const void *symbol, void *handle,
                          weir_status refused, uint32_t *out_admitted) {
  struct entry *entry = calloc(1, sizeof *entry);
  if (!entry) return weir_fail(WEIR_E_NOMEM, "no memory for a plugin");
  entry->handle = handle;
  entry->status = refused;
  entry->path = text_copy(path, strlen(path));
  if (!refused) entry->status = admit(symbol, path, entry);
  if (!entry->status) entry->status = check_name_free(runtime, entry, path);
  if (!entry->status) entry->status = initialise(runtime, entry, path);
  const char *name = entry->status ? base_name(path) : entry->plugin.name;
  const char *reason = entry->status ? weir_last_error() : "";
  entry->name = text_copy(name, strlen(name));
  entry->reason = text_copy(reason, strlen(reason));
  if (!entry->path || !entry->name || !entry->reason) {
    entry_free(entry);
    return weir_fail(WEIR_E_NOMEM, "no memory for a plugin's name");
  }
  if (entry->status) {
    log_line(&runtime->log, WEIR_LOG_WARN, "registry", "refused: %s", reason);
    entry->plugin = (weir_plugin){0};
    entry->ops = 0;
  } else {
    log_line(&runtime->log, WEIR_LOG_INFO, "registry", "admitted %s %s from %s", name, entry->plugin.version, path);
    for (uint32_t i = 0; i < entry->plugin.op_count; i++)
      if (entry->plugin.ops[i].op == 0 || entry->plugin.ops[i].op >= OP_LIMIT)
        log_line(&runtime->log, WEIR_LOG_WARN, "registry",
                 "%s has operation %u, which libweir %s does not know and does not offer", name,
                 entry->plugin.ops[i].op, PACKAGE_VERSION);
    ++*out_admitted;
  }
  return add(runtime, entry);
}

/* A file may hold a plugin of another ABI major only; say which. */
static weir_status explain_no_symbol(void *handle, const char *path) {
  for (unsigned major = 1; major < 100; major++) {
    char symbol[32];
    snprintf(symbol, sizeof symbol, "weir_plugin_v%u", major);
    if (major != WEIR_ABI_MAJOR && loader_symbol(handle, symbol))
      return weir_fail(WEIR_E_ABI,
                       "%s: it is built for plugin ABI %u, and this libweir %s speaks %d.x; "
                       "rebuild it with this libweir's <weir/plugin.h>, or install a libweir that speaks %u.x",
                       path, major, PACKAGE_VERSION, WEIR_ABI_MAJOR, major);
  }
  return weir_fail(WEIR_E_ABI,
                   "%s: it exports no symbol weir_plugin_v%d, so it is not a weir plugin; "
                   "define one with WEIR_PLUGIN() or remove the file",
                   path, WEIR_ABI_MAJOR);
}

static weir_status record_file(weir_runtime *runtime, const char *path, uint32_t *out_admitted) {
  void *handle = NULL;
  const void *symbol = NULL;
  struct text why = {0};
  weir_status refused = loader_open(path, &handle, &why);
  if (refused) {
    weir_fail(refused, "%s: it cannot be loaded: %s; build it for this machine with all its libraries and -Wl,-z,defs",
              path, why.data ? why.data : "no reason given");
  } else {
    char name[32];
    snprintf(name, sizeof name, "weir_plugin_v%d", WEIR_ABI_MAJOR);
    symbol = loader_symbol(handle, name);
    if (!symbol) refused = explain_no_symbol(handle, path);
  }
  text_free(&why);
  return record(runtime, path, symbol, handle, refused, out_admitted);
}

static weir_status record_found(weir_runtime *runtime, const struct found *found, uint32_t *out_admitted) {
  const struct entry *known = find_path(runtime, found->path, NULL);
  if (known && known->status == WEIR_OK) return WEIR_OK; /* a refused one may have become good */
  if (found->writable)
    log_line(&runtime->log, WEIR_LOG_WARN, "registry",
             "%s: every user may write to this file, and its code runs here; chmod o-w it", found->path);
  if (!found->problem) return record_file(runtime, found->path, out_admitted);
  weir_fail(WEIR_E_IO, "%s: %s", found->path, found->problem);
  return record(runtime, found->path, NULL, NULL, WEIR_E_IO, out_admitted);
}

static weir_status record_all(weir_runtime *runtime, const struct found_list *list, uint32_t *out_admitted) {
  weir_status status = WEIR_OK;
  for (size_t i = 0; i < list->count && !status; i++) status = record_found(runtime, &list->items[i], out_admitted);
  return status;
}

static weir_status record_builtins(weir_runtime *runtime, uint32_t *out_admitted) {
  weir_status status = WEIR_OK;
  for (size_t i = 0; builtin_plugins[i] && !status; i++)
    if (!find_path(runtime, "builtin", builtin_plugins[i]->name))
      status = record(runtime, "builtin", builtin_plugins[i], NULL, WEIR_OK, out_admitted);
  return status;
}

/* The configured directory, else weir/ beside libweir, for a moved installation. */
static weir_status scan_installed(struct found_list *list) {
  if (access(PLUGINDIR, F_OK) == 0) return scan_path(PLUGINDIR, false, list);
  Dl_info self;
  if (!dladdr((void *)(uintptr_t)weir_get_api, &self) || !self.dli_fname || self.dli_fname[0] != '/') return WEIR_OK;
  struct text path = {0};
  text_add(&path, "%.*s/weir", (int)(strrchr(self.dli_fname, '/') - self.dli_fname), self.dli_fname);
  weir_status status = path.failed ? weir_fail(WEIR_E_NOMEM, "no memory") : scan_path(path.data, false, list);
  text_free(&path);
  return status;
}

weir_status registry_load(weir_runtime *runtime, uint32_t *out_admitted) {
  struct found_list named = {0}, installed = {0};
  struct saved_error saved; /* refusals are listed, they are not failures of the caller */
  error_save(&saved);
  weir_status status = scan_search_path(runtime->plugin_path, &named);
  if (!status) status = scan_installed(&installed);
  if (!status) status = record_all(runtime, &named, out_admitted);
  if (!status) status = record_builtins(runtime, out_admitted);
  if (!status) status = record_all(runtime, &installed, out_admitted);
  found_list_free(&named);
  found_list_free(&installed);
  if (!status) error_restore(&saved);
  return status;
}

void registry_free(weir_runtime *runtime) {
  for (size_t i = runtime->registry.count; i > 0; i--) entry_free(runtime->registry.entries[i - 1]);
  free(runtime->registry.entries);
  runtime->registry = (struct registry){0};
}
