/* SPDX-License-Identifier: MIT */
#include "bench_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_cells.h"
#include "bench_sweep.h"
#include "json.h"
#include "words.h"

uint32_t bench_report_sides(const bench *bench, const bench_report *report) {
  return report->sides ? report->sides : bench->sides;
}

bench_line *bench_report_line(bench_report *report) {
  if (report->lines == report->capacity) {
    uint32_t capacity = report->capacity ? 2 * report->capacity : 16;
    bench_line *grown = realloc(report->line, capacity * sizeof *grown);
    if (!grown) return NULL;
    report->line = grown;
    report->capacity = capacity;
  }
  report->line[report->lines] = (bench_line){0};
  return &report->line[report->lines++];
}

void bench_report_total(bench_report *report, uint32_t sides, bool only_errors) {
  report->has_total = true;
  report->is_total_measured = only_errors;
  for (uint32_t s = 0; s < sides; s++) {
    bench_result *total = &report->total[s];
    double least = INFINITY;
    total->bytes = 0;
    for (uint32_t i = 0; i < report->lines; i++) {
      const bench_line *line = &report->line[i];
      const bench_result *result = &line->side[s];
      total->bytes += result->bytes * line->count;
      if (!only_errors) {
        total->seconds.median += result->seconds.median * line->count;
        total->plain.median += result->plain.median * line->count;
        total->floor.median += result->floor.median * line->count;
        total->shared += result->seconds.median * line->inputs + result->alone.median * (line->count - line->inputs);
      }
      if (total->plugin[0] == '\0') memcpy(total->plugin, result->plugin, sizeof total->plugin);
      else if (strcmp(total->plugin, result->plugin) != 0) strcpy(total->plugin, "several");
      if (!result->checked) continue;
      total->checked = true;
      total->error.worst = fmax(total->error.worst, result->error.worst);
      total->error.unequal |= result->error.unequal;
      /* The weakest line: sums over different operations would say nothing. */
      if (bench_error_snr(&result->error) < least) {
        least = bench_error_snr(&result->error);
        total->error.signal = result->error.signal;
        total->error.noise = result->error.noise;
        total->error.floor_db = result->error.floor_db;
      }
    }
  }
  if (!only_errors && sides == 2 && report->total[0].seconds.median > 0)
    report->total_ratio.median = report->total[1].seconds.median / report->total[0].seconds.median;
}

void bench_report_calls(const bench_report *report, uint32_t *out_matvecs, uint32_t *out_inputs,
                        uint32_t *out_attentions) {
  *out_matvecs = *out_inputs = *out_attentions = 0;
  for (uint32_t i = 0; i < report->lines; i++) {
    const bench_line *line = &report->line[i];
    if (line->is_attention) *out_attentions += line->count;
    else *out_matvecs += line->count;
    if (!line->is_attention) *out_inputs += line->inputs;
  }
}

void bench_report_free(bench_report *report) {
  free(report->line);
  *report = (bench_report){0};
}

/* ---- For people --------------------------------------------------------- */

static void cells_rate(table *rows, const bench *bench, const bench_result *result) {
  double read = bench_read_best(bench->read);
  if (result->bytes > 0) {
    table_cell(rows, "%.2f", bench_result_rate(result) / 1e9);
    table_cell(rows, "%.1f", read > 0 ? 100 * bench_result_rate(result) / read : 0);
  } else {
    table_cell(rows, "-");
    table_cell(rows, "-");
  }
}

static void cells_side(table *rows, const bench *bench, const bench_result *result, uint32_t count, bool counted) {
  cell_us(rows, result->seconds.median);
  cell_spread(rows, &result->seconds);
  if (counted) cell_us(rows, result->seconds.median * count);
  cells_rate(rows, bench, result);
  cells_error(rows, result);
}

static void print_report(const bench *bench, const bench_report *report) {
  const char *headings[14] = {"operation", "weights", "shape"};
  size_t columns = 3;
  table *rows;

  if (report->has_total) headings[columns++] = ">count";
  headings[columns++] = "plugin";
  headings[columns++] = ">us";
  headings[columns++] = ">p10..p90";
  if (report->has_total) headings[columns++] = ">us/token";
  headings[columns++] = ">GB/s";
  headings[columns++] = ">%read";
  headings[columns++] = ">err";
  headings[columns++] = ">dB";
  if (bench->sides == 2) headings[columns++] = "ratio";
  rows = table_new(headings, columns);

  for (uint32_t i = 0; i < report->lines; i++)
    for (uint32_t s = 0; s < bench->sides; s++) {
      const bench_line *line = &report->line[i];
      table_cell(rows, "%s", s ? "" : line->operation);
      table_cell(rows, "%s", s ? "" : line->weights);
      table_cell(rows, "%s", s ? "" : line->shape);
      if (report->has_total) {
        if (s) table_cell(rows, "%s", "");
        else table_cell(rows, "%u", line->count);
      }
      table_cell(rows, "%s", line->side[s].plugin);
      cells_side(rows, bench, &line->side[s], line->count, report->has_total);
      cell_ratio(rows, bench, &line->ratio, s);
    }
  if (report->has_total) {
    table_rule(rows);
    for (uint32_t s = 0; s < bench->sides; s++) {
      table_cell(rows, "%s", s ? "" : "one token");
      table_cell(rows, "%s", "");
      table_cell(rows, "%s", "");
      table_cell(rows, "%s", "");
      table_cell(rows, "%s", report->total[s].plugin);
      table_cell(rows, "%s", "");
      cell_spread(rows, &report->total[s].seconds);
      cell_us(rows, report->total[s].seconds.median);
      cells_rate(rows, bench, &report->total[s]);
      cells_error(rows, &report->total[s]);
      cell_ratio(rows, bench, &report->total_ratio, s);
    }
  }
  printf("\n%s\n\n", report->title);
  table_print(rows, stdout);
  table_free(rows);
  for (uint32_t s = 0; s < bench->sides && report->has_total; s++)
    printf("%s%s: %.1f tokens/s at most from %s; %.2f MB read a token\n", s ? "" : "\n", report->total[s].plugin,
           1 / report->total[s].seconds.median,
           report->is_total_measured ? "these operations, run in order" : "these medians, added up",
           report->total[s].bytes / 1e6);
}

/* Which kernels served, each once. */
static void print_kernels(const bench *bench, const bench_report *reports, uint32_t count) {
  char seen[64 * 66] = "";
  for (uint32_t r = 0; r < count; r++)
    for (uint32_t i = 0; i < reports[r].lines; i++)
      for (uint32_t s = 0; s < bench_report_sides(bench, &reports[r]); s++) {
        const bench_result *result = &reports[r].line[i].side[s];
        char entry[132];
        snprintf(entry, sizeof entry, "%s: %s\n", result->plugin, result->kernel);
        if (!result->kernel[0] || strstr(seen, entry) || strlen(seen) + strlen(entry) >= sizeof seen) continue;
        if (!seen[0]) puts("\nkernels:");
        strcat(seen, entry);
        printf("  %s", entry);
      }
}

static void print_verdict(const bench *bench, const bench_report *reports, uint32_t count, uint32_t wrong) {
  if (!wrong) {
    puts("\nEvery result is within its bound of ref.");
    return;
  }
  putchar('\n');
  for (uint32_t r = 0; r < count; r++)
    for (uint32_t i = 0; i < reports[r].lines; i++)
      for (uint32_t s = 0; s < bench_report_sides(bench, &reports[r]); s++) {
        const bench_line *line = &reports[r].line[i];
        const bench_result *result = &line->side[s];
        if (bench_result_ok(result)) continue;
        printf("WRONG: %s %s by %s (%s): ", line->operation, line->shape, result->plugin, result->kernel);
        if (!(result->error.worst <= 1)) printf("%.3g bounds away from ref", result->error.worst);
        else if (result->error.unequal) printf("the same call gave other bits the second time");
        else printf("%.1f dB where %.0f dB are due", bench_error_snr(&result->error), result->error.floor_db);
        putchar('\n');
      }
}

static void print_heading(const bench *bench) {
  const weir_device_info *info = &bench->info;
  if (bench_is_cuda(bench)) {
    printf("weir %s on %s: %s, sm_%u, %u SMs, L2 %.0f MiB, driver %u.%u\n", weir_version(), bench->options->device,
           info->name, info->cc, info->sm_count, (double)info->cache_bytes / (1 << 20), info->driver_version / 1000,
           info->driver_version % 1000 / 10);
    return;
  }
  printf("weir %s on %s: %s, %u thread%s; read bandwidth measured in this run: %.2f GB/s\n", weir_version(),
         bench->options->device, info->name, info->threads, info->threads == 1 ? "" : "s",
         bench_read_best(bench->read) / 1e9);
}

static void print_legend(const bench *bench, const bench_report *reports, uint32_t count) {
  uint32_t attentions = 0;
  for (uint32_t r = 0; r < count; r++) attentions += reports[r].is_attention;
  if (attentions) bench_sweep_print_legend(bench);
  if (attentions == count) return;
  if (bench_is_cuda(bench))
    bench_cuda_print_legend(bench);
  else
    fputs("\nus: median of one call.  %read: of the read bandwidth above.  err: largest distance from ref, in units\n"
          "of its bound (1 is the limit).  dB: signal to noise against activations that are not quantised.\n",
          stdout);
  if (bench->sides == 2)
    puts("ratio: time of the second plugin over that of the first, pair by pair; above 1 the first is faster.");
}

static void print_people(const bench *bench, const bench_report *reports, uint32_t count, uint32_t wrong) {
  print_heading(bench);
  for (uint32_t r = 0; r < count; r++) {
    if (reports[r].is_attention) bench_sweep_print(bench, &reports[r]);
    else if (bench_is_cuda(bench)) bench_cuda_print(bench, &reports[r]);
    else print_report(bench, &reports[r]);
  }
  print_kernels(bench, reports, count);
  for (const char *at = bench->note; *at;) {
    size_t length = strcspn(at, "\n");
    printf("%snote: %.*s\n", at == bench->note ? "\n" : "", (int)length, at);
    at += length + (at[length] == '\n');
  }
  print_legend(bench, reports, count);
  print_verdict(bench, reports, count, wrong);
}

/* ---- JSON --------------------------------------------------------------- */

static void put_string(struct json *json, const char *key, const char *value) {
  json_key(json, key);
  json_string(json, value);
}

static void put_double(struct json *json, const char *key, double value) {
  json_key(json, key);
  json_double(json, value);
}

static void put_stat(struct json *json, const char *key, const bench_stat *stat, double unit) {
  json_key(json, key);
  json_object_begin(json);
  put_double(json, "median", stat->median * unit);
  if (stat->count) {
    put_double(json, "p10", stat->p10 * unit);
    put_double(json, "p90", stat->p90 * unit);
  }
  json_key(json, "samples");
  json_uint(json, stat->count);
  json_object_end(json);
}

static void put_cuda_result(struct json *json, const bench_result *result) {
  if (result->plain.median > 0) put_stat(json, "plain_us", &result->plain, 1e6);
  if (result->alone.count) put_stat(json, "matvec_us", &result->alone, 1e6);
  if (result->act.count) put_stat(json, "quantize_us", &result->act, 1e6);
  if (result->shared > 0) put_double(json, "shared_quantize_us", 1e6 * result->shared);
  if (!(result->floor.median > 0)) return;
  put_stat(json, "floor_us", &result->floor, 1e6);
  put_double(json, "times_floor", result->seconds.median / result->floor.median);
}

static void put_result(struct json *json, const bench *bench, const bench_result *result) {
  json_object_begin(json);
  put_string(json, "plugin", result->plugin);
  if (result->refused) {
    json_key(json, "refused");
    json_bool(json, true);
    json_object_end(json);
    return;
  }
  if (result->kernel[0]) put_string(json, "kernel", result->kernel);
  put_stat(json, "us", &result->seconds, 1e6);
  put_double(json, "bytes", result->bytes);
  put_double(json, "gb_per_s", bench_result_rate(result) / 1e9);
  if (bench_is_cuda(bench)) put_cuda_result(json, result);
  else put_double(json, "percent_of_read", 100 * bench_result_rate(result) / bench_read_best(bench->read));
  if (result->checked) {
    put_double(json, "error_in_bounds", result->error.worst);
    put_double(json, "snr_db", bench_error_snr(&result->error));
  }
  json_key(json, "ok");
  json_bool(json, bench_result_ok(result));
  json_object_end(json);
}

static void put_sides(struct json *json, const bench *bench, const bench_result *side, uint32_t sides) {
  json_key(json, "sides");
  json_array_begin(json);
  for (uint32_t s = 0; s < sides; s++) put_result(json, bench, &side[s]);
  json_array_end(json);
}

static void put_attention(struct json *json, const bench_line *line) {
  const struct {
    const char *key;
    uint32_t value;
  } numbers[] = {{"kv_len", line->kv_len}, {"capacity", line->capacity}, {"queries", line->queries}};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    json_key(json, numbers[i].key);
    json_uint(json, numbers[i].value);
  }
  json_key(json, "causal");
  json_bool(json, line->is_causal);
  put_double(json, "flops", line->flops);
  if (line->chosen[0]) put_string(json, "chosen", line->chosen);
}

/* What the total of a CUDA device adds up. */
static void put_calls(struct json *json, const bench_report *report) {
  uint32_t calls[3];
  bench_report_calls(report, &calls[0], &calls[1], &calls[2]);
  json_key(json, "matvecs");
  json_uint(json, calls[0]);
  json_key(json, "shared_quantizations");
  json_uint(json, calls[1]);
  json_key(json, "attentions");
  json_uint(json, calls[2]);
}

static void put_report(struct json *json, const bench *bench, const bench_report *report) {
  uint32_t sides = bench_report_sides(bench, report);
  json_object_begin(json);
  put_string(json, "title", report->title);
  json_key(json, "operations");
  json_array_begin(json);
  for (uint32_t i = 0; i < report->lines; i++) {
    const bench_line *line = &report->line[i];
    json_object_begin(json);
    put_string(json, "operation", line->operation);
    put_string(json, "weights", line->weights);
    put_string(json, "shape", line->shape);
    json_key(json, "count");
    json_uint(json, line->count);
    if (bench_is_cuda(bench)) {
      json_key(json, "inputs");
      json_uint(json, line->inputs);
    }
    if (line->kv_len) put_attention(json, line);
    put_double(json, "import_error_max", line->import.max_abs);
    put_double(json, "import_error_rms", line->import.rms);
    put_sides(json, bench, line->side, sides);
    if (sides == 2) put_stat(json, "ratio", &line->ratio, 1);
    json_object_end(json);
  }
  json_array_end(json);
  if (report->has_total) {
    json_key(json, "token");
    json_object_begin(json);
    json_key(json, "measured");
    json_bool(json, report->is_total_measured);
    put_double(json, "tokens_per_s", 1 / report->total[0].seconds.median);
    if (bench_is_cuda(bench)) put_calls(json, report);
    put_sides(json, bench, report->total, sides);
    if (bench->sides == 2) put_stat(json, "ratio", &report->total_ratio, 1);
    json_object_end(json);
  }
  json_object_end(json);
}

static void put_device(struct json *json, const bench *bench) {
  const weir_device_info *info = &bench->info;
  const struct {
    const char *key;
    uint64_t value;
  } numbers[] = {{"cc", info->cc},
                 {"sm_count", info->sm_count},
                 {"cache_bytes", info->cache_bytes},
                 {"driver_version", info->driver_version}};
  if (!bench_is_cuda(bench)) {
    json_key(json, "threads");
    json_uint(json, info->threads);
    put_double(json, "read_gb_per_s", bench_read_best(bench->read) / 1e9);
    return;
  }
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    json_key(json, numbers[i].key);
    json_uint(json, numbers[i].value);
  }
  put_string(json, "mode", bench->options->calling == BENCH_PLAIN ? "plain" : "graph");
}

static int print_json(const bench *bench, const bench_report *reports, uint32_t count, uint32_t wrong) {
  struct json json;
  json_start(&json, stdout);
  json_object_begin(&json);
  put_string(&json, "weir", weir_version());
  put_string(&json, "device", bench->options->device);
  put_string(&json, "device_name", bench->info.name);
  put_device(&json, bench);
  json_key(&json, "tables");
  json_array_begin(&json);
  for (uint32_t r = 0; r < count; r++) put_report(&json, bench, &reports[r]);
  json_array_end(&json);
  json_key(&json, "notes");
  json_array_begin(&json);
  for (const char *at = bench->note; *at;) {
    size_t length = strcspn(at, "\n");
    char note[512];
    snprintf(note, sizeof note, "%.*s", (int)length, at);
    json_string(&json, note);
    at += length + (at[length] == '\n');
  }
  json_array_end(&json);
  json_key(&json, "ok");
  json_bool(&json, wrong == 0);
  json_object_end(&json);
  return json_finish(&json);
}

int bench_reports_print(const bench *bench, const bench_report *reports, uint32_t count) {
  uint32_t wrong = 0;
  for (uint32_t r = 0; r < count; r++)
    for (uint32_t i = 0; i < reports[r].lines; i++)
      for (uint32_t s = 0; s < bench_report_sides(bench, &reports[r]); s++)
        wrong += !bench_result_ok(&reports[r].line[i].side[s]);
  if (!bench->options->json) print_people(bench, reports, count, wrong);
  else if (print_json(bench, reports, count, wrong)) return 1;
  return wrong ? 1 : 0;
}
