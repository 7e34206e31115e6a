/* SPDX-License-Identifier: MIT */
#include "library.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SENTENCE_SIZE = 1024 };

const weir_api *weir;

static _Thread_local struct {
  weir_status code;
  char sentence[SENTENCE_SIZE];
  char before[SENTENCE_SIZE]; /* libweir's latest sentence at that time */
} failure;

static const char *library_sentence(void) { return weir ? weir->last_error() : ""; }

weir_status gemma_fail(weir_status code, const char *format, ...) {
  char sentence[SENTENCE_SIZE];
  va_list args;
  va_start(args, format);
  vsnprintf(sentence, sizeof sentence, format, args);
  va_end(args);
  failure.code = code;
  memcpy(failure.sentence, sentence, sizeof sentence);
  snprintf(failure.before, sizeof failure.before, "%s", library_sentence());
  return code;
}

const char *gemma_error(weir_status code) {
  const char *theirs = library_sentence();
  if (failure.code == code && strncmp(theirs, failure.before, sizeof failure.before - 1) == 0) return failure.sentence;
  return theirs;
}

weir_status gemma_library_open(const char *path) {
  const char *name = path ? path : "libweir.so.0";
  void *library = dlopen(name, RTLD_NOW);
  if (!library)
    return gemma_fail(WEIR_E_NOTFOUND, "%s cannot be opened (%s); install weir, or name the library with --library FILE",
                      name, dlerror());
  weir_get_api_fn get_api = (weir_get_api_fn)(intptr_t)dlsym(library, "weir_get_api");
  if (!get_api) return gemma_fail(WEIR_E_ABI, "%s has no function weir_get_api, so it is not libweir", name);
  weir = get_api(WEIR_ABI_MAJOR);
  if (!weir)
    return gemma_fail(WEIR_E_ABI, "%s does not speak ABI %d of weir, which this program was built for", name,
                      WEIR_ABI_MAJOR);
  if (!WEIR_HAS(weir, weir_api, linear))
    return gemma_fail(WEIR_E_ABI, "%s is version %s of weir, which lacks functions that this program uses; install a "
                      "newer one", name, weir->version());
  return WEIR_OK;
}
