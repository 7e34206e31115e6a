/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdio.h>
#include <string.h>

/* Plans of one operation, plugin and kernel. */
typedef struct line {
  const char *operation, *plugin, *kernel;
  uint32_t matrices;
} line;

enum { LINES_MOST = 2 * (GEMMA_PLANS_MOST + GEMMA_GEOMETRIES_MOST) };

typedef struct lines {
  line line[LINES_MOST];
  uint32_t count;
} lines;

static void add(lines *lines, const char *operation, const weir_plan *plan, const char *kernel, uint32_t matrices) {
  const char *plugin = weir->plan_plugin(plan);
  uint32_t i = 0;
  while (i < lines->count && (strcmp(lines->line[i].operation, operation) != 0 ||
                              strcmp(lines->line[i].plugin, plugin) != 0 || strcmp(lines->line[i].kernel, kernel) != 0))
    i++;
  if (i == lines->count) lines->line[lines->count++] = (line){operation, plugin, kernel, 0};
  lines->line[i].matrices += matrices;
}

static uint32_t matrices_of(const gemma_weights *weights, const gemma_plan *plan) {
  uint32_t count = weights->head.plan == plan;
  for (uint32_t i = 0; i < weights->source->config.layers; i++)
    for (int role = 0; role < GEMMA_ROLES; role++) count += weights->layer[i].matrix[role].plan == plan;
  return count;
}

static uint32_t layers_of(const gemma_session *session, const gemma_geometry *geometry) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < session->source.config.layers; i++) count += session->layer[i].geometry == geometry;
  return count;
}

static void list(const gemma_session *session, lines *out) {
  const gemma_weights *weights = &session->weights;
  out->count = 0;
  for (uint32_t i = 0; i < weights->plans; i++) {
    const gemma_plan *plan = &weights->plan[i];
    const char *operation = plan->desc.op == WEIR_OP_INT4_MATVEC ? "int4 matvec" : "int8 matvec";
    add(out, operation, plan->one.plan, plan->one.info.kernel, matrices_of(weights, plan));
  }
  for (uint32_t i = 0; i < session->geometries; i++) {
    const gemma_geometry *geometry = &session->geometry[i];
    add(out, "sdpa decode", geometry->one.plan, geometry->one.info.kernel, layers_of(session, geometry));
  }
  for (uint32_t i = 0; i < session->geometries; i++) {
    const gemma_geometry *geometry = &session->geometry[i];
    add(out, "sdpa prefill", geometry->many.plan, geometry->many.info.kernel, layers_of(session, geometry));
  }
}

static bool is_matvec(const line *line) { return strstr(line->operation, "matvec") != NULL; }

void gemma_report_plugins(const gemma_session *session) {
  lines lines;
  list(session, &lines);
  fprintf(stderr, "%s on %s, context %u\n", session->source.config.name, session->info.name, session->options.context);
  for (uint32_t i = 0; i < lines.count; i++) {
    const line *line = &lines.line[i];
    fprintf(stderr, "  %-13s %-18s %-24s %u %s\n", line->operation, line->plugin, line->kernel, line->matrices,
            is_matvec(line) ? "matrices" : "layers");
  }
}

void gemma_json_number(struct json *json, const char *key, double value) {
  json_key(json, key);
  json_double(json, value);
}

void gemma_json_session(struct json *json, const gemma_session *session) {
  lines lines;
  list(session, &lines);
  json_key(json, "model");
  json_string(json, session->source.config.name);
  json_key(json, "architecture");
  json_string(json, session->source.config.architecture);
  json_key(json, "device");
  json_string(json, session->info.name);
  json_key(json, "context");
  json_uint(json, session->options.context);
  json_key(json, "chunk");
  json_uint(json, session->options.chunk);
  json_key(json, "plugins");
  json_array_begin(json);
  for (uint32_t i = 0; i < lines.count; i++) {
    const line *line = &lines.line[i];
    json_object_begin(json);
    json_key(json, "operation");
    json_string(json, line->operation);
    json_key(json, "plugin");
    json_string(json, line->plugin);
    json_key(json, "kernel");
    json_string(json, line->kernel);
    json_key(json, is_matvec(line) ? "matrices" : "layers");
    json_uint(json, line->matrices);
    json_object_end(json);
  }
  json_array_end(json);
}

/* ---- Profiles ------------------------------------------------------------ */

static double total_seconds(const gemma_profile_line *lines, uint32_t count) {
  double total = 0;
  for (uint32_t i = 0; i < count; i++) total += lines[i].seconds;
  return total;
}

static const char *const phase_names[GEMMA_PHASES] = {[GEMMA_PREFILL] = "prefill", [GEMMA_DECODE] = "decode"};

static const char *plugin_of(const gemma_profile_line *line) { return line->plugin[0] ? line->plugin : "weir-gemma"; }

static void report_phase(const gemma_profile *profile, gemma_phase phase) {
  uint32_t count, steps;
  const gemma_profile_line *lines = gemma_profile_lines(profile, phase, &count, &steps);
  const double total = total_seconds(lines, count);
  if (!steps) return;
  fprintf(stderr, "\n%-15s   %-18s %9s %10s %10s %6s\n", phase_names[phase], "plugin", "in a step", "us each", "ms a step",
          "part");
  for (uint32_t i = 0; i < count; i++)
    fprintf(stderr, "  %-15s %-18s %9.1f %10.2f %10.3f %5.1f%%\n", lines[i].operation, plugin_of(&lines[i]),
            (double)lines[i].calls / steps, 1e6 * lines[i].seconds / lines[i].calls, 1e3 * lines[i].seconds / steps,
            100 * lines[i].seconds / total);
  fprintf(stderr, "  %-15s %-18s %9s %10s %10.3f, mean of %u steps\n", "all", "", "", "", 1e3 * total / steps, steps);
}

void gemma_report_profile(const gemma_session *session) {
  for (int phase = 0; phase < GEMMA_PHASES && session->profile; phase++)
    report_phase(session->profile, (gemma_phase)phase);
}

static void json_phase(struct json *json, const gemma_profile *profile, gemma_phase phase) {
  uint32_t count, steps;
  const gemma_profile_line *lines = gemma_profile_lines(profile, phase, &count, &steps);
  json_key(json, phase_names[phase]);
  json_object_begin(json);
  json_key(json, "steps");
  json_uint(json, steps);
  json_key(json, "operations");
  json_array_begin(json);
  for (uint32_t i = 0; i < count; i++) {
    json_object_begin(json);
    json_key(json, "operation");
    json_string(json, lines[i].operation);
    json_key(json, "plugin");
    json_string(json, plugin_of(&lines[i]));
    json_key(json, "calls");
    json_uint(json, lines[i].calls);
    gemma_json_number(json, "seconds", lines[i].seconds);
    json_object_end(json);
  }
  json_array_end(json);
  json_object_end(json);
}

void gemma_json_profile(struct json *json, const gemma_session *session) {
  if (!session->profile) return;
  json_key(json, "profile");
  json_object_begin(json);
  for (int phase = 0; phase < GEMMA_PHASES; phase++) json_phase(json, session->profile, (gemma_phase)phase);
  json_object_end(json);
}
