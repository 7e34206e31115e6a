/* SPDX-License-Identifier: MIT */

/* What tests/setgid.sh runs with and without the setgid bit: says what a runtime
 * makes of the environment. No option replaces a variable. */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <weir/weir.h>

static void print_line(void *user, int level, const char *area, const char *line) {
  (void)user;
  printf("log %d %s: %s\n", level, area, line);
}

int main(void) {
  weir_options options = {.struct_size = sizeof options, .log = "warn", .log_fn = print_line};
  weir_runtime *runtime = NULL;
  printf("secure %lu\n", getauxval(AT_SECURE));
  if (weir_open(&options, &runtime) != WEIR_OK) {
    printf("failed: %s\n", weir_last_error());
    return 1;
  }
  for (uint32_t i = 0; i < weir_plugin_count(runtime); i++) {
    weir_plugin_info info = {.struct_size = sizeof info};
    if (weir_plugin_get(runtime, i, &info) == WEIR_OK) {
      printf("plugin %s %s\n", info.status == WEIR_OK ? "admitted" : "refused", info.path);
    }
  }
  weir_close(runtime);
  return 0;
}
