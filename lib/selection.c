/* SPDX-License-Identifier: MIT */

/*   selection = token ("," token)*
 *   token     = OP "=" list | "-" NAME | NAME
 *   list      = NAME (":" NAME)* [":auto"] | "auto"
 * Names are matched whole. What the tokens mean is choose.c's. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct parser {
  const char *text, *source, *at;
  struct selection *out;
};

static weir_status syntax(const struct parser *parser, const char *at, const char *problem) {
  return weir_fail(WEIR_E_SYNTAX,
                   "%s \"%.*s\" is malformed at column %zu: %s; "
                   "write OP=NAME, OP=NAME:NAME:auto, NAME or -NAME, separated by commas",
                   parser->source, QUOTE_MOST, parser->text, (size_t)(at - parser->text) + 1, problem);
}

static size_t name_length(const char *at) { return strcspn(at, ",:="); }

static weir_status add_name(char ***names, size_t *count, const char *name, size_t length) {
  char **grown = realloc(*names, (*count + 1) * sizeof *grown);
  if (!grown) return weir_fail(WEIR_E_NOMEM, "no memory for the selection");
  *names = grown;
  grown[*count] = text_copy(name, length);
  if (!grown[*count]) return weir_fail(WEIR_E_NOMEM, "no memory for the selection");
  ++*count;
  return WEIR_OK;
}

static bool listed(char **names, size_t count, const char *name, size_t length) {
  for (size_t i = 0; i < count; i++)
    if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) return true;
  return false;
}

static weir_status take_name(struct parser *parser, char ***names, size_t *count) {
  size_t length = name_length(parser->at);
  if (length == 0) return syntax(parser, parser->at, "a plugin name is missing");
  if (!weir_plugin_name_valid(parser->at, length)) return syntax(parser, parser->at, "this is not a plugin name");
  if (listed(*names, *count, parser->at, length)) return syntax(parser, parser->at, "this name is there twice");
  weir_status status = add_name(names, count, parser->at, length);
  parser->at += length;
  return status;
}

static weir_status take_rule(struct parser *parser, const char *equals) {
  const char *start = parser->at;
  weir_op op = weir_op_by_name(start, (size_t)(equals - start));
  if (!op) {
    if (equals == start) return syntax(parser, start, "the operation before = is missing");
    return syntax(parser, start, "this is not an operation (int4_matvec, int8_matvec, sdpa)");
  }
  struct selection_rule *rule = &parser->out->rules[op];
  if (rule->present) return syntax(parser, start, "this operation has a rule already");
  rule->present = true;
  parser->at = equals + 1;
  for (;;) {
    if (name_length(parser->at) == 4 && memcmp(parser->at, "auto", 4) == 0) {
      rule->ends_auto = true;
      parser->at += 4;
      return *parser->at == ':' ? syntax(parser, parser->at, "auto must come last") : WEIR_OK;
    }
    weir_status status = take_name(parser, &rule->names, &rule->count);
    if (status || *parser->at != ':') return status;
    parser->at++;
  }
}

static weir_status take_token(struct parser *parser) {
  struct selection *out = parser->out;
  size_t length = strcspn(parser->at, ",");
  if (length == 0) return syntax(parser, parser->at, "a token is missing");
  const char *equals = memchr(parser->at, '=', length);
  if (equals) return take_rule(parser, equals);
  if (*parser->at == '-') {
    parser->at++;
    return take_name(parser, &out->denied, &out->denied_count);
  }
  if (weir_op_by_name(parser->at, length)) return syntax(parser, parser->at, "an operation needs =NAME");
  return take_name(parser, &out->preferred, &out->preferred_count);
}

weir_status selection_parse(const char *text, const char *source, struct selection **out_selection) {
  *out_selection = NULL;
  struct selection *selection = calloc(1, sizeof *selection);
  if (!text) text = "";
  if (selection) selection->text = text_copy(text, strlen(text));
  if (!selection || !selection->text) {
    free(selection);
    return weir_fail(WEIR_E_NOMEM, "no memory for the selection");
  }
  struct parser parser = {text, source, text, selection};
  weir_status status = WEIR_OK;
  while (*text && !status) {
    status = take_token(&parser);
    if (status || !*parser.at) break;
    if (*parser.at == ',') {
      parser.at++;
      if (!*parser.at) status = syntax(&parser, parser.at, "a token is missing");
    } else {
      status = syntax(&parser, parser.at, "a comma is expected here");
    }
  }
  if (status) {
    selection_free(selection);
    return status;
  }
  *out_selection = selection;
  return WEIR_OK;
}

static void free_names(char **names, size_t count) {
  for (size_t i = 0; i < count; i++) free(names[i]);
  free(names);
}

void selection_free(struct selection *selection) {
  if (!selection) return;
  for (weir_op op = 0; op < OP_LIMIT; op++) free_names(selection->rules[op].names, selection->rules[op].count);
  free_names(selection->preferred, selection->preferred_count);
  free_names(selection->denied, selection->denied_count);
  free(selection->text);
  free(selection);
}

bool selection_denies(const struct selection *selection, const char *name) {
  return listed(selection->denied, selection->denied_count, name, strlen(name));
}
