/* SPDX-License-Identifier: MIT */

/* libltdl binds lazily and answers "file not found" whatever went wrong, so each
 * file is first opened with dlopen(RTLD_NOW), whose reason is kept. libltdl's state
 * is shared with every other user of it in the process: one lock round each call. */
#include "config.h"

#include <dlfcn.h>
#include <ltdl.h>

#include "internal.h"

const char loader_name[] = "ltdl";

static struct lock lock = {PTHREAD_MUTEX_INITIALIZER, 0};

static lt_dlhandle open_locked(const char *path) {
  if (lt_dlinit() != 0) return NULL;
  lt_dlhandle handle = NULL;
  lt_dladvise advise;
  if (lt_dladvise_init(&advise) == 0) {
    if (lt_dladvise_local(&advise) == 0) handle = lt_dlopenadvise(path, advise);
    lt_dladvise_destroy(&advise);
  }
  if (!handle) lt_dlexit();
  return handle;
}

weir_status loader_open(const char *path, void **out_handle, struct text *out_why) {
  *out_handle = NULL;
  void *preflight = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!preflight) {
    text_add(out_why, "%s", dlerror());
    return WEIR_E_IO;
  }
  lock_take(&lock);
  *out_handle = open_locked(path);
  if (!*out_handle) text_add(out_why, "libltdl: %s", lt_dlerror());
  lock_drop(&lock);
  dlclose(preflight);
  return *out_handle ? WEIR_OK : WEIR_E_IO;
}

const void *loader_symbol(void *handle, const char *name) {
  lock_take(&lock);
  const void *symbol = lt_dlsym(handle, name);
  lock_drop(&lock);
  return symbol;
}

void loader_close(void *handle) {
  lock_take(&lock);
  lt_dlclose(handle);
  lt_dlexit();
  lock_drop(&lock);
}
