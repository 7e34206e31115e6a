/* SPDX-License-Identifier: MIT */
#ifndef TABLE_H
#define TABLE_H

#include <stdio.h>
#include <weir/plugin.h> /* WEIR_PRINTF */

/* Aligned columns for people: fill row by row, then print. A heading that starts
 * with '>' makes its column flush right. */
typedef struct table table;

table *table_new(const char *const *headings, size_t columns);
/* The next cell, left to right; after the last column a new row begins. */
void table_cell(table *table, const char *format, ...) WEIR_PRINTF(2, 3);
/* A row of dashes. Only between rows. */
void table_rule(table *table);
void table_print(const table *table, FILE *file);
void table_free(table *table);

#endif
