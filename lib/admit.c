/* SPDX-License-Identifier: MIT */

/* From a data symbol to an entry whose tables have no holes. Nothing of the plugin
 * runs here. A plugin of another minor version has longer or shorter structs: they
 * are read as far as both sides know them. */
#include "config.h"

#include <string.h>

#include "internal.h"

static uint64_t no_workspace(const weir_plugin_plan *plan, uint32_t m) {
  (void)plan, (void)m;
  return 0;
}

struct member {
  const char *name;
  size_t offset;
};
#define MEMBER(type, name) {#name, offsetof(type, name)}

static const struct member matvec_mandatory[] = {
    MEMBER(weir_matvec_vtable, score),     MEMBER(weir_matvec_vtable, plan),     MEMBER(weir_matvec_vtable, plan_free),
    MEMBER(weir_matvec_vtable, info),      MEMBER(weir_matvec_vtable, act_size), MEMBER(weir_matvec_vtable, pack),
    MEMBER(weir_matvec_vtable, quantize),  MEMBER(weir_matvec_vtable, matvec),
};
static const struct member sdpa_mandatory[] = {
    MEMBER(weir_sdpa_vtable, score), MEMBER(weir_sdpa_vtable, plan), MEMBER(weir_sdpa_vtable, plan_free),
    MEMBER(weir_sdpa_vtable, info),  MEMBER(weir_sdpa_vtable, sdpa),
};

/* Copies a vtable and names the first mandatory member that is missing. */
static weir_status copy_vtable(void *out, size_t size, const void *vtable, const struct member *mandatory,
                               size_t count, const char *op, const char *where) {
  uint32_t given;
  memcpy(&given, vtable, sizeof given);
  memset(out, 0, size);
  given -= given % sizeof(void (*)(void)); /* half a member is none */
  memcpy(out, vtable, given < size ? given : size);
  for (size_t i = 0; i < count; i++) {
    void (*function)(void) = NULL;
    if (given >= mandatory[i].offset + sizeof function)
      memcpy(&function, (char *)out + mandatory[i].offset, sizeof function);
    if (!function)
      return weir_fail(WEIR_E_ABI,
                       "%s: the mandatory member %s of its %s table is missing%s; its author must set it and rebuild",
                       where, mandatory[i].name, op, given < mandatory[i].offset + sizeof function
                       ? " (the table is too short for it)" : " (null)");
  }
  return WEIR_OK;
}

static weir_status admit_op(const weir_plugin_op *op, const char *where, struct entry *out_entry) {
  if (op->op == 0 || op->op >= OP_LIMIT) return WEIR_OK; /* of a later minor version: not ours to offer */
  const char *name = weir_op_name(op->op);
  if (!op->vtable)
    return weir_fail(WEIR_E_ABI, "%s: the table of its operation %s is null; its author must set it and rebuild",
                     where, name);
  if (out_entry->ops & 1u << op->op)
    return weir_fail(WEIR_E_ABI, "%s: it lists the operation %s twice; its author must remove one", where, name);
  weir_status status;
  if (op->op == WEIR_OP_SDPA) {
    status = copy_vtable(&out_entry->sdpa, sizeof out_entry->sdpa, op->vtable, sdpa_mandatory,
                         COUNT_OF(sdpa_mandatory), name, where);
    if (!out_entry->sdpa.workspace_size) out_entry->sdpa.workspace_size = no_workspace;
  } else {
    weir_matvec_vtable *table = &out_entry->matvec[op->op];
    status = copy_vtable(table, sizeof *table, op->vtable, matvec_mandatory, COUNT_OF(matvec_mandatory), name, where);
    if (!table->workspace_size) table->workspace_size = no_workspace;
  }
  if (!status) out_entry->ops |= 1u << op->op;
  return status;
}

static weir_status check_header(const weir_plugin *plugin, const char *where) {
  if (plugin->magic != WEIR_PLUGIN_MAGIC)
    return weir_fail(WEIR_E_ABI,
                     "%s: its weir_plugin_v%d starts with 0x%08x instead of 0x%08x, so it is not a weir plugin; "
                     "define it with WEIR_PLUGIN() and WEIR_PLUGIN_HEADER()",
                     where, WEIR_ABI_MAJOR, plugin->magic, WEIR_PLUGIN_MAGIC);
  if (plugin->abi_major != WEIR_ABI_MAJOR)
    return weir_fail(WEIR_E_ABI,
                     "%s: it is built for plugin ABI %u.%u, and this libweir %s speaks %d.x; "
                     "rebuild it with this libweir's <weir/plugin.h>, or install a libweir that speaks %u.x",
                     where, plugin->abi_major, plugin->abi_minor, PACKAGE_VERSION, WEIR_ABI_MAJOR, plugin->abi_major);
  size_t least = offsetof(weir_plugin, fini) + sizeof plugin->fini;
  if (plugin->struct_size < least)
    return weir_fail(WEIR_E_ABI, "%s: its struct_size is %u, and ABI %d needs at least %zu; set it to "
                     "sizeof(weir_plugin) with WEIR_PLUGIN_HEADER()",
                     where, plugin->struct_size, WEIR_ABI_MAJOR, least);
  return WEIR_OK;
}

static const char *sanitizer_name(uint32_t kind) {
  static const char *const names[] = {"no sanitizer", "AddressSanitizer", "ThreadSanitizer", "MemorySanitizer"};
  return kind < COUNT_OF(names) ? names[kind] : "an unknown sanitizer";
}

static weir_status check_words(const weir_plugin *plugin, const char *where) {
  const struct {
    const char *name, *text;
  } words[] = {{"name", plugin->name},
               {"version", plugin->version},
               {"license", plugin->license},
               {"description", plugin->description}};
  for (size_t i = 0; i < COUNT_OF(words); i++)
    if (!words[i].text)
      return weir_fail(WEIR_E_ABI, "%s: its %s is null; its author must set it", where, words[i].name);
  if (!weir_plugin_name_valid(plugin->name, strlen(plugin->name)))
    return weir_fail(WEIR_E_ABI,
                     "%s: its name \"%s\" is not a plugin name; use a to z, 0 to 9, _ and -, start with a letter or _, "
                     "and avoid \"auto\" and the names of operations",
                     where, plugin->name);
  return WEIR_OK;
}

weir_status admit(const void *symbol, const char *where, struct entry *out_entry) {
  weir_plugin *plugin = &out_entry->plugin;
  uint32_t prefix[3]; /* magic, versions, struct_size: readable in every version */
  memcpy(prefix, symbol, sizeof prefix);
  memset(plugin, 0, sizeof *plugin);
  memcpy(plugin, symbol, sizeof prefix);
  weir_status status = check_header(plugin, where);
  if (status) return status;
  memcpy(plugin, symbol, prefix[2] < sizeof *plugin ? prefix[2] : sizeof *plugin);

  if (plugin->flags & ~(uint32_t)WEIR_PLUGIN_UNLOADABLE)
    return weir_fail(WEIR_E_FLAGS,
                     "%s: its flags 0x%x have bits that libweir %s does not know; clear them or install a newer libweir",
                     where, plugin->flags, PACKAGE_VERSION);
  if (plugin->sanitizer != WEIR_SANITIZER_NONE && plugin->sanitizer != WEIR_SANITIZER)
    return weir_fail(WEIR_E_ABI, "%s: it is built with %s and this libweir with %s; build both with the same -fsanitize",
                     where, sanitizer_name(plugin->sanitizer), sanitizer_name(WEIR_SANITIZER));
  status = check_words(plugin, where);
  if (status) return status;
  if (plugin->op_count == 0 || plugin->op_count > 64 || !plugin->ops)
    return weir_fail(WEIR_E_ABI, "%s: it lists %u operations%s; a plugin lists 1 to 64 of them", where,
                     plugin->op_count, plugin->ops ? "" : " at a null address");
  out_entry->ops = 0;
  for (uint32_t i = 0; i < plugin->op_count; i++) {
    status = admit_op(&plugin->ops[i], where, out_entry);
    if (status) return status;
  }
  return WEIR_OK;
}
