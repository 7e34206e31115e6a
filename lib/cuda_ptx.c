/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"

/* NUL-terminated, as cuModuleLoadDataEx takes no length. NULL with errno set. */
static char *read_file(const char *path) {
  FILE *file = fopen(path, "re");
  if (!file) return NULL;
  struct text text = {0};
  char chunk[1 << 16];
  size_t count;
  while ((count = fread(chunk, 1, sizeof chunk, file)) > 0) text_add(&text, "%.*s", (int)count, chunk);
  bool failed = ferror(file) || text.failed;
  fclose(file);
  if (!failed && text.data) return text.data;
  text_free(&text);
  errno = failed ? EIO : ENODATA;
  return NULL;
}

struct search {
  const char *name;
  uint32_t cc;
  struct text tried;
  char *text, *path;
};

/* NAME.sm_90a.ptx on devices of 9.0 itself, which alone can run it, else NAME.sm_90.ptx
 * where the device can, else NAME.sm_80.ptx. */
static bool look_in(struct search *search, const char *directory, int length) {
  static const struct {
    const char *arch;
    uint32_t least, most; /* compute capability */
  } files[] = {{"90a", 90, 90}, {"90", 90, UINT32_MAX}, {"80", 0, UINT32_MAX}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    if (search->cc < files[i].least || search->cc > files[i].most) continue;
    struct text path = {0};
    text_add(&path, "%.*s/%s.sm_%s.ptx", length, directory, search->name, files[i].arch);
    if (path.failed) return false;
    search->text = read_file(path.data);
    if (search->text) {
      search->path = path.data;
      return true;
    }
    if (errno != ENOENT) text_add(&search->tried, " %s (%s)", path.data, strerror(errno));
    text_free(&path);
  }
  text_add(&search->tried, " %.*s", length, directory);
  return false;
}

static bool look_everywhere(struct search *search, const char *plugin_path, const char *ptx_path) {
  for (const char *part = ptx_path; *part; part += strcspn(part, ":"), part += *part == ':') {
    size_t length = strcspn(part, ":");
    if (part[0] == '/' && look_in(search, part, (int)length)) return true;
    if (length && part[0] != '/') text_add(&search->tried, " %.*s (ignored: not absolute)", (int)length, part);
  }
  const char *slash = plugin_path ? strrchr(plugin_path, '/') : NULL;
  if (slash && look_in(search, plugin_path, (int)(slash - plugin_path))) return true;
  if (look_in(search, PTXDIR, (int)strlen(PTXDIR))) return true;
  Dl_info self;
  if (!dladdr((void *)(uintptr_t)weir_get_api, &self) || !self.dli_fname || self.dli_fname[0] != '/') return false;
  struct text beside = {0};
  text_add(&beside, "%.*s/weir/ptx", (int)(strrchr(self.dli_fname, '/') - self.dli_fname), self.dli_fname);
  bool found = !beside.failed && look_in(search, beside.data, (int)beside.length);
  text_free(&beside);
  return found;
}

weir_status cuda_ptx_read(const weir_device *device, const char *plugin_path, const char *ptx, char **out_text,
                          char **out_name) {
  *out_text = *out_name = NULL;
  if (strchr(ptx, '\n')) {
    *out_text = text_copy(ptx, strlen(ptx));
    *out_name = text_copy("PTX text", strlen("PTX text"));
  } else if (ptx[0] == '/') {
    *out_text = read_file(ptx);
    if (!*out_text) return weir_fail(WEIR_E_IO, "the PTX file %s cannot be read: %s", ptx, strerror(errno));
    *out_name = text_copy(ptx, strlen(ptx));
  } else {
    struct search search = {.name = ptx, .cc = device->info.cc};
    bool found = look_everywhere(&search, plugin_path, device->runtime->ptx_path);
    if (!found)
      weir_fail(WEIR_E_NOTFOUND,
                "there is no PTX \"%s\" for compute capability %u.%u; searched:%s; install weir's PTX files or name "
                "their directory in WEIR_PTX_PATH",
                ptx, device->info.cc / 10, device->info.cc % 10, search.tried.data ? search.tried.data : " nothing");
    text_free(&search.tried);
    if (!found) return WEIR_E_NOTFOUND;
    *out_text = search.text;
    *out_name = search.path;
  }
  if (*out_text && *out_name) return WEIR_OK;
  free(*out_text);
  free(*out_name);
  *out_text = *out_name = NULL;
  return weir_fail(WEIR_E_NOMEM, "no memory for PTX");
}
