/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <weir/weir.h>

#include "args.h"
#include "commands.h"
#include "json.h"
#include "table.h"
#include "words.h"

typedef struct list_options {
  int json;
} list_options;

static const struct arg list_args[] = {
  {"json", 0, ARG_FLAG, NULL, "print one JSON document", offsetof(list_options, json)},
};
static const struct arg_command list_command = {
  "list", "Shows every plugin that was found: what it does, where it is, and why a file was refused.", NULL, list_args,
  sizeof list_args / sizeof list_args[0]};

static const char *or_dash(const char *text) {
  return text && text[0] ? text : "-";
}

/* "int4_matvec,sdpa" */
static void name_ops(uint32_t ops, char *out, size_t size) {
  size_t used = 0;
  out[0] = '\0';
  for (const word *op = words_op; op->text && used < size; op++)
    if (ops & (1u << op->value))
      used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", op->text);
}

static void print_people(weir_runtime *runtime, uint32_t count) {
  static const char *const headings[] = {"plugin", "version", "operations", "file", "description"};
  table *rows = table_new(headings, sizeof headings / sizeof headings[0]);
  weir_plugin_info info = {.struct_size = sizeof info};
  uint32_t refused = 0;

  for (uint32_t i = 0; i < count; i++) {
    char ops[128];
    if (weir_plugin_get(runtime, i, &info) || info.status) continue;
    name_ops(info.ops, ops, sizeof ops);
    table_cell(rows, "%s", or_dash(info.name));
    table_cell(rows, "%s", or_dash(info.version));
    table_cell(rows, "%s", or_dash(ops));
    table_cell(rows, "%s", or_dash(info.path));
    table_cell(rows, "%s", or_dash(info.description));
  }
  table_print(rows, stdout);
  table_free(rows);
  for (uint32_t i = 0; i < count; i++) {
    if (weir_plugin_get(runtime, i, &info) || !info.status) continue;
    if (!refused++) puts("\nRefused:");
    if (strncmp(info.reason, info.path, strlen(info.path)) == 0) printf("  %s\n", info.reason);
    else printf("  %s: %s\n", or_dash(info.path), or_dash(info.reason));
  }
}

static int print_json(weir_runtime *runtime, uint32_t count) {
  struct json json;
  weir_plugin_info info = {.struct_size = sizeof info};

  json_start(&json, stdout);
  json_object_begin(&json);
  json_key(&json, "weir");
  json_string(&json, weir_version());
  json_key(&json, "plugins");
  json_array_begin(&json);
  for (uint32_t i = 0; i < count; i++) {
    if (weir_plugin_get(runtime, i, &info)) continue;
    json_object_begin(&json);
    json_key(&json, "name");
    json_string(&json, info.name);
    json_key(&json, "admitted");
    json_bool(&json, info.status == WEIR_OK);
    json_key(&json, "path");
    json_string(&json, info.path);
    json_key(&json, "version");
    json_string(&json, info.version);
    json_key(&json, "license");
    json_string(&json, info.license);
    json_key(&json, "description");
    json_string(&json, info.description);
    json_key(&json, "abi");
    json_array_begin(&json);
    json_uint(&json, info.abi_major);
    json_uint(&json, info.abi_minor);
    json_array_end(&json);
    json_key(&json, "operations");
    json_array_begin(&json);
    for (const word *op = words_op; op->text; op++)
      if (info.ops & (1u << op->value)) json_string(&json, op->text);
    json_array_end(&json);
    json_key(&json, "status");
    json_string(&json, weir_status_name(info.status));
    json_key(&json, "reason");
    json_string(&json, info.reason);
    json_object_end(&json);
  }
  json_array_end(&json);
  json_object_end(&json);
  return json_finish(&json) ? 1 : 0;
}

int cmd_list(int argc, char **argv) {
  list_options options = {0};
  weir_options open = {.struct_size = sizeof open};
  weir_runtime *runtime;
  weir_status status;
  uint32_t count;
  int first, result = 0;

  result = args_parse(&list_command, argc, argv, &options, &first);
  if (result) return result == ARGS_HELP ? 0 : 2;
  status = weir_open(&open, &runtime);
  if (status) return words_failure("list", status);
  count = weir_plugin_count(runtime);
  if (options.json) {
    result = print_json(runtime, count);
  } else if (count == 0) {
    fputs("weir list: no plugin was found; WEIR_PLUGIN_PATH=/absolute/directory names a place to look in\n", stderr);
    result = 1;
  } else {
    print_people(runtime, count);
  }
  weir_close(runtime);
  return result;
}
