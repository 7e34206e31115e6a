/* SPDX-License-Identifier: MIT */

#include "args.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suggest.h"

enum { MAX_ARGS = 62, HELP_CODE = 1000, FIRST_CODE = 1001 };

int args_complain(const struct arg_command *command, const char *format, ...) {
  va_list args;
  fprintf(stderr, "weir %s: ", command->name);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, "; see 'weir %s --help'\n", command->name);
  return ARGS_USAGE;
}

int args_number(const char *text, uint64_t max, uint64_t *out_value) {
  int hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  const char *digits = hexadecimal ? text + 2 : text;
  size_t length = strlen(digits);
  *out_value = 0;
  if (length == 0 || strspn(digits, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789") != length) {
    return -1;
  }
  errno = 0;
  unsigned long long value = strtoull(digits, NULL, hexadecimal ? 16 : 10);
  if (errno || value > max) {
    return -1;
  }
  *out_value = value;
  return 0;
}

static void print_help(const struct arg_command *command) {
  printf("Usage: weir %s [OPTION]...%s%s\n%s\n\nOptions:\n", command->name, command->operands ? " " : "",
         command->operands ? command->operands : "", command->summary);
  for (size_t i = 0; i <= command->count; ++i) {
    static const struct arg help = {"help", 'h', ARG_FLAG, NULL, "show this help and exit", 0};
    const struct arg *arg = i < command->count ? &command->args[i] : &help;
    char left[80];
    snprintf(left, sizeof left, "%c%c%s --%s%s%s", arg->letter ? '-' : ' ', arg->letter ? arg->letter : ' ',
             arg->letter ? "," : " ", arg->name, arg->value ? " " : "", arg->value ? arg->value : "");
    if (strlen(left) > 26) {
      printf("  %s\n  %-26s  %s\n", left, "", arg->help);
    } else {
      printf("  %-26s  %s\n", left, arg->help);
    }
  }
}

static int store(const struct arg_command *command, const struct arg *arg, const char *text, void *object) {
  char *member = (char *)object + arg->offset;
  uint64_t number;
  switch (arg->kind) {
    case ARG_FLAG:
      *(int *)(void *)member = 1;
      return ARGS_OK;
    case ARG_COUNT:
      ++*(int *)(void *)member;
      return ARGS_OK;
    case ARG_TEXT:
      *(const char **)(void *)member = text;
      return ARGS_OK;
    case ARG_U32:
      if (args_number(text, UINT32_MAX, &number)) {
        return args_complain(command, "--%s %s: not a number from 0 to 4294967295", arg->name, text);
      }
      *(uint32_t *)(void *)member = (uint32_t)number;
      return ARGS_OK;
    case ARG_U64:
      if (args_number(text, UINT64_MAX, &number)) {
        return args_complain(command, "--%s %s: not a number from 0 to 2^64 - 1", arg->name, text);
      }
      *(uint64_t *)(void *)member = number;
      return ARGS_OK;
    case ARG_DOUBLE: {
      char *end;
      double value = strtod(text, &end);
      if (end == text || *end || !isfinite(value)) {
        return args_complain(command, "--%s %s: not a finite number", arg->name, text);
      }
      *(double *)(void *)member = value;
      return ARGS_OK;
    }
  }
  return ARGS_USAGE;
}

/* Unknown, ambiguous, or a flag that was given a value. */
static int complain_unknown(const struct arg_command *command, const char *text) {
  const char *names[MAX_ARGS + 1], *nearest = NULL;
  for (size_t i = 0; i < command->count; ++i) {
    names[i] = command->args[i].name;
  }
  names[command->count] = "help";
  if (strncmp(text, "--", 2) == 0 && text[2]) {
    nearest = suggest_nearest(text + 2, names, command->count + 1);
  }
  if (nearest) {
    return args_complain(command, "unknown, ambiguous or malformed option %s; did you mean --%s?", text, nearest);
  }
  return args_complain(command, "unknown, ambiguous or malformed option %s", text);
}

int args_parse(const struct arg_command *command, int argc, char **argv, void *object, int *out_first) {
  struct option options[MAX_ARGS + 2];
  char letters[2 * (MAX_ARGS + 2) + 2];
  size_t used = 0;
  memset(options, 0, sizeof options);
  letters[used++] = ':';
  for (size_t i = 0; i <= command->count; ++i) {
    int is_help = i == command->count;
    int takes_value = !is_help && command->args[i].value != NULL;
    options[i].name = is_help ? "help" : command->args[i].name;
    options[i].has_arg = takes_value ? required_argument : no_argument;
    options[i].val = is_help ? HELP_CODE : FIRST_CODE + (int)i;
    char letter = is_help ? 'h' : command->args[i].letter;
    if (letter) {
      letters[used++] = letter;
      if (takes_value) {
        letters[used++] = ':';
      }
    }
  }
  letters[used] = 0;
  *out_first = argc;
  optind = 0; /* a second command of one process starts afresh */
  opterr = 0;
  for (;;) {
    int code = getopt_long(argc, argv, letters, options, NULL);
    if (code == -1) {
      break;
    }
    if (code == HELP_CODE || code == 'h') {
      print_help(command);
      return ARGS_HELP;
    }
    if (code == ':') {
      return args_complain(command, "%s needs a value", argv[optind - 1]);
    }
    if (code == '?') {
      return complain_unknown(command, argv[optind - 1]);
    }
    const struct arg *arg = NULL;
    for (size_t i = 0; i < command->count; ++i) {
      if (code == FIRST_CODE + (int)i || (command->args[i].letter && code == command->args[i].letter)) {
        arg = &command->args[i];
      }
    }
    int status = arg ? store(command, arg, optarg, object) : ARGS_USAGE;
    if (status) {
      return status;
    }
  }
  if (!command->operands && optind < argc) {
    return args_complain(command, "unexpected argument '%s'", argv[optind]);
  }
  *out_first = optind;
  return ARGS_OK;
}
