/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool shown;

static bool is_wanted(void) {
  static int answer = -1;
  if (answer < 0) {
    const char *term = getenv("TERM");
    answer = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
  }
  return answer == 1;
}

static size_t terminal_width(void) {
  struct winsize size;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) return size.ws_col - 1u;
  return 79;
}

void progress_show(const char *format, ...) {
  static struct timespec last;
  struct timespec now;
  char line[256];
  va_list args;

  if (!is_wanted()) return;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (shown && (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 < 100) return;
  last = now;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (strlen(line) > terminal_width()) line[terminal_width()] = '\0';
  fprintf(stderr, "\r\033[K%s", line);
  fflush(stderr);
  shown = true;
}

void progress_clear(void) {
  if (!shown) return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  shown = false;
}
