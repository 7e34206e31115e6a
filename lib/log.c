/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *const level_names[] = {"off", "error", "warn", "info", "debug", "trace"};

static int level_by_name(const char *text, size_t length) {
  for (size_t i = 0; i < COUNT_OF(level_names); i++)
    if (strlen(level_names[i]) == length && memcmp(level_names[i], text, length) == 0) return (int)i;
  return -1;
}

static void write_stderr(void *user, int level, const char *area, const char *line) {
  (void)user;
  fprintf(stderr, "weir %s %s: %s\n", level_names[level], area, line);
}

static weir_status parse_rule(struct log *log, const char *spec, const char *source, const char *token,
                              size_t length) {
  size_t column = (size_t)(token - spec) + 1;
  const char *colon = memchr(token, ':', length);
  const char *level_text = colon ? colon + 1 : token;
  int level = level_by_name(level_text, length - (size_t)(level_text - token));
  if (level < 0)
    return weir_fail(WEIR_E_SYNTAX,
                     "%s \"%.*s\" has no level at column %zu; write LEVEL or AREA:LEVEL with a level of "
                     "off, error, warn, info, debug or trace",
                     source, QUOTE_MOST, spec, column + (size_t)(level_text - token));
  if (!colon) {
    log->level = level;
    return WEIR_OK;
  }
  size_t area_length = (size_t)(colon - token);
  struct log_rule *rule = &log->rules[log->rule_count];
  if (area_length == 0 || area_length >= sizeof rule->area || log->rule_count == COUNT_OF(log->rules))
    return weir_fail(WEIR_E_SYNTAX, "%s \"%.*s\" has an empty, too long or surplus area at column %zu; "
                     "write at most %zu rules AREA:LEVEL with areas under %zu characters",
                     source, QUOTE_MOST, spec, column, COUNT_OF(log->rules), sizeof rule->area);
  memcpy(rule->area, token, area_length);
  rule->level = level;
  log->rule_count++;
  return WEIR_OK;
}

weir_status log_init(struct log *log, const char *spec, const char *source, weir_log_fn write, void *user) {
  *log = (struct log){.write = write ? write : write_stderr, .user = user, .level = write ? WEIR_LOG_WARN : 0};
  lock_init(&log->lock);
  for (const char *token = spec; token && *token;) {
    size_t length = strcspn(token, ",");
    weir_status status = parse_rule(log, spec, source, token, length);
    if (status) return status;
    token += length;
    if (*token == ',' && !*++token)
      return weir_fail(WEIR_E_SYNTAX, "%s \"%.*s\" ends in a comma, column %zu; remove it", source, QUOTE_MOST, spec,
                       (size_t)(token - spec));
  }
  return WEIR_OK;
}

static int level_of(const struct log *log, const char *area) {
  for (size_t i = 0; i < log->rule_count; i++)
    if (strcmp(log->rules[i].area, area) == 0) return log->rules[i].level;
  return log->level;
}

void log_vline(struct log *log, int level, const char *area, const char *format, va_list args) {
  if (level < WEIR_LOG_ERROR || level > WEIR_LOG_TRACE || level > level_of(log, area)) return;
  char line[2048];
  vsnprintf(line, sizeof line, format, args);
  lock_take(&log->lock);
  log->write(log->user, level, area, line);
  lock_drop(&log->lock);
}

void log_line(struct log *log, int level, const char *area, const char *format, ...) {
  va_list args;
  va_start(args, format);
  log_vline(log, level, area, format, args);
  va_end(args);
}
