/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dlfcn.h>

#include "internal.h"

const char loader_name[] = "dlopen";

weir_status loader_open(const char *path, void **out_handle, struct text *out_why) {
  *out_handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (*out_handle) return WEIR_OK;
  text_add(out_why, "%s", dlerror());
  return WEIR_E_IO;
}

const void *loader_symbol(void *handle, const char *name) { return dlsym(handle, name); }

void loader_close(void *handle) { dlclose(handle); }
