/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct table {
  size_t columns, count, capacity;
  const char *const *headings;
  char **cells; /* count of them; null in the first column: a rule */
};

static void *must(void *memory) {
  if (!memory) {
    fputs("weir: out of memory\n", stderr);
    exit(1);
  }
  return memory;
}

table *table_new(const char *const *headings, size_t columns) {
  table *made = must(calloc(1, sizeof *made));
  made->headings = headings;
  made->columns = columns;
  return made;
}

static void add(table *table, char *cell) {
  if (table->count == table->capacity) {
    table->capacity = table->capacity ? 2 * table->capacity : 64;
    table->cells = must(realloc(table->cells, table->capacity * sizeof *table->cells));
  }
  table->cells[table->count++] = cell;
}

void table_cell(table *table, const char *format, ...) {
  char *text = NULL;
  size_t size = 0;
  va_list args;
  FILE *stream = must(open_memstream(&text, &size));
  va_start(args, format);
  vfprintf(stream, format, args);
  va_end(args);
  fclose(stream);
  add(table, must(text));
}

void table_rule(table *table) {
  for (size_t c = 0; c < table->columns; c++) add(table, NULL);
}

/* *pending: spaces owed, which are never written at the end of a line. */
static void print_cell(FILE *file, const char *text, bool right, size_t width, bool last, size_t *pending) {
  size_t space = width - strlen(text);
  if (right) *pending += space;
  if (text[0]) {
    fprintf(file, "%*s%s", (int)*pending, "", text);
    *pending = 0;
  }
  *pending = last ? 0 : *pending + (right ? 0 : space) + 2;
  if (last) fputc('\n', file);
}

void table_print(const table *table, FILE *file) {
  size_t columns = table->columns, pending = 0, *width = must(calloc(columns, sizeof *width));

  for (size_t c = 0; c < columns; c++) {
    const char *heading = table->headings[c];
    width[c] = strlen(heading) - (heading[0] == '>');
    for (size_t i = c; i < table->count; i += columns)
      if (table->cells[i] && strlen(table->cells[i]) > width[c]) width[c] = strlen(table->cells[i]);
  }
  for (size_t c = 0; c < columns; c++) {
    bool right = table->headings[c][0] == '>';
    print_cell(file, table->headings[c] + right, right, width[c], c + 1 == columns, &pending);
  }
  for (size_t i = 0; i < table->count; i++) {
    size_t c = i % columns;
    if (table->cells[i]) {
      print_cell(file, table->cells[i], table->headings[c][0] == '>', width[c], c + 1 == columns, &pending);
      continue;
    }
    for (size_t dash = 0; dash < width[c]; dash++) fputc('-', file);
    fputs(c + 1 == columns ? "\n" : "--", file);
  }
  free(width);
}

void table_free(table *table) {
  if (!table) return;
  for (size_t i = 0; i < table->count; i++) free(table->cells[i]);
  free(table->cells);
  free(table);
}
