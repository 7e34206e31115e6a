/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

static weir_status add(struct found_list *list, struct text *path, struct text *problem, bool writable) {
  if (path->failed || problem->failed) goto no_memory;
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 16;
    struct found *items = realloc(list->items, capacity * sizeof *items);
    if (!items) goto no_memory;
    list->items = items;
    list->capacity = capacity;
  }
  list->items[list->count++] = (struct found){path->data, problem->data, writable};
  return WEIR_OK;
no_memory:
  text_free(path);
  text_free(problem);
  return weir_fail(WEIR_E_NOMEM, "no memory for the list of plugin files");
}

static weir_status add_file(struct found_list *list, const char *file, bool writable) {
  struct text path = {0}, problem = {0};
  text_add(&path, "%s", file);
  return add(list, &path, &problem, writable);
}

static weir_status add_problem(struct found_list *list, const char *file, const char *what) {
  struct text path = {0}, problem = {0};
  text_add(&path, "%s", file);
  text_add(&problem, "%s", what);
  return add(list, &path, &problem, false);
}

static int is_plugin_file(const struct dirent *item) {
  size_t length = strlen(item->d_name);
  return item->d_name[0] != '.' && length > 3 && strcmp(item->d_name + length - 3, ".so") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static weir_status scan_directory(const char *directory, struct found_list *list) {
  struct dirent **names = NULL;
  int count = scandir(directory, &names, is_plugin_file, by_bytes);
  if (count < 0) return add_problem(list, directory, strerror(errno));
  weir_status status = WEIR_OK;
  for (int i = 0; i < count; i++) {
    struct text path = {0};
    text_add(&path, "%s/%s", directory, names[i]->d_name);
    if (!status) status = path.failed ? weir_fail(WEIR_E_NOMEM, "no memory") : scan_path(path.data, true, list);
    text_free(&path);
    free(names[i]);
  }
  free(names);
  return status;
}

weir_status scan_path(const char *path, bool must_exist, struct found_list *list) {
  if (path[0] != '/')
    return add_problem(list, path, "a plugin path must be absolute; write the whole path, starting with /");
  struct stat info;
  if (stat(path, &info) != 0)
    return must_exist || errno != ENOENT ? add_problem(list, path, strerror(errno)) : WEIR_OK;
  size_t length = strlen(path);
  if (S_ISDIR(info.st_mode)) {
    if (length > 3 && strcmp(path + length - 3, ".so") == 0)
      return add_problem(list, path, "it is a directory, not a plugin file; name a directory without .so");
    return scan_directory(path, list);
  }
  if (!S_ISREG(info.st_mode))
    return add_problem(list, path, "it is neither a regular file nor a directory; remove it");
  if (info.st_size == 0) return add_problem(list, path, "the file is empty; install the plugin again");
  return add_file(list, path, (info.st_mode & S_IWOTH) != 0);
}

weir_status scan_search_path(const char *search_path, struct found_list *list) {
  weir_status status = WEIR_OK;
  for (const char *part = search_path; part && *part && !status;) {
    size_t length = strcspn(part, ":");
    if (length) {
      char *path = text_copy(part, length);
      if (!path) return weir_fail(WEIR_E_NOMEM, "no memory for the plugin path");
      while (length > 1 && path[length - 1] == '/') path[--length] = '\0';
      status = scan_path(path, true, list);
      free(path);
    }
    part += strcspn(part, ":");
    if (*part == ':') part++;
  }
  return status;
}

void found_list_free(struct found_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    free(list->items[i].path);
    free(list->items[i].problem);
  }
  free(list->items);
  *list = (struct found_list){0};
}
