/* SPDX-License-Identifier: MIT */

/* Options of one sub-command, described once for parsing and for --help:
 *
 *   static const struct arg table[] = {
 *     {"plugin", 'p', ARG_TEXT, "NAME", "the plugin to verify", offsetof(struct wish, plugin)},
 *     {"quick", 0, ARG_FLAG, NULL, "a short selection of the cases", offsetof(struct wish, quick)},
 *   };
 *   static const struct arg_command command = {"verify", "Proves a plugin ...", NULL, table, 2};
 *   switch (args_parse(&command, argc, argv, &wish, &first)) { ... }
 *
 * --help (-h) is added to every table. Values go to the member at `offset` of the
 * object given to args_parse, which holds the defaults. */
#ifndef TOOLS_ARGS_H
#define TOOLS_ARGS_H

#include <stddef.h>
#include <stdint.h>

enum arg_kind {
  ARG_FLAG,   /* int: set to 1 */
  ARG_TEXT,   /* const char * */
  ARG_U32,    /* uint32_t: decimal or 0x */
  ARG_U64,    /* uint64_t: decimal or 0x */
  ARG_DOUBLE, /* double: finite */
  ARG_COUNT   /* int: one more each time it is given */
};

struct arg {
  const char *name;
  char letter; /* 0: none */
  enum arg_kind kind;
  const char *value; /* what --help calls the value; null for flags */
  const char *help;
  size_t offset;
};

struct arg_command {
  const char *name;     /* "verify" */
  const char *summary;  /* sentence or two, for --help */
  const char *operands; /* "FILE [TENSOR]"; null: none are taken */
  const struct arg *args;
  size_t count; /* at most 62 */
};

enum { ARGS_OK = 0, ARGS_HELP = 1, ARGS_USAGE = 2 };

/* argv[0] is the sub-command's name. *out_first is the index of the first operand.
 * ARGS_HELP: the help is on stdout; exit 0. ARGS_USAGE: one line is on stderr; exit 2. */
int args_parse(const struct arg_command *command, int argc, char **argv, void *object, int *out_first);

/* Complains on stderr, "weir NAME: ...", with a pointer to --help. Returns ARGS_USAGE. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
int args_complain(const struct arg_command *command, const char *format, ...);

/* A whole unsigned number in decimal or 0x form, at most `max`. 0, or -1. */
int args_number(const char *text, uint64_t max, uint64_t *out_value);

#endif
