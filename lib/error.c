/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "internal.h"

/* Long enough for the reasons of a dozen plugins. */
static _Thread_local struct saved_error current;
static _Thread_local unsigned failures;

const char *weir_last_error(void) { return current.message; }

unsigned error_count(void) { return failures; }

void error_save(struct saved_error *out_saved) { *out_saved = current; }

void error_restore(const struct saved_error *saved) { current = *saved; }

weir_status weir_vfail(weir_status code, const char *format, va_list args) {
  /* The arguments may point into the current message. */
  struct saved_error fresh;
  vsnprintf(fresh.message, sizeof fresh.message, format, args);
  memcpy(current.message, fresh.message, strlen(fresh.message) + 1);
  failures++;
  return code;
}

weir_status weir_fail(weir_status code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  weir_vfail(code, format, args);
  va_end(args);
  return code;
}

const char *weir_status_name(weir_status status) {
  static const char *const names[] = {
      [-WEIR_OK] = "WEIR_OK",
      [-WEIR_E_INVALID] = "WEIR_E_INVALID",
      [-WEIR_E_UNSUPPORTED] = "WEIR_E_UNSUPPORTED",
      [-WEIR_E_NOMEM] = "WEIR_E_NOMEM",
      [-WEIR_E_NODEVICE] = "WEIR_E_NODEVICE",
      [-WEIR_E_DRIVER] = "WEIR_E_DRIVER",
      [-WEIR_E_ABI] = "WEIR_E_ABI",
      [-WEIR_E_WORKSPACE] = "WEIR_E_WORKSPACE",
      [-WEIR_E_CAPTURE] = "WEIR_E_CAPTURE",
      [-WEIR_E_INTERNAL] = "WEIR_E_INTERNAL",
      [-WEIR_E_NOTFOUND] = "WEIR_E_NOTFOUND",
      [-WEIR_E_SYNTAX] = "WEIR_E_SYNTAX",
      [-WEIR_E_IO] = "WEIR_E_IO",
      [-WEIR_E_FORMAT] = "WEIR_E_FORMAT",
      [-WEIR_E_TYPE] = "WEIR_E_TYPE",
      [-WEIR_E_SHAPE] = "WEIR_E_SHAPE",
      [-WEIR_E_NULL] = "WEIR_E_NULL",
      [-WEIR_E_FLAGS] = "WEIR_E_FLAGS",
  };
  if (status > 0 || status <= -(weir_status)COUNT_OF(names)) return "unknown status";
  return names[-status];
}

const char *weir_version(void) { return PACKAGE_VERSION; }

weir_status weir_struct_in(void *out, size_t size, const void *in, size_t least, const char *what) {
  if (!in) return weir_fail(WEIR_E_NULL, "%s is null; pass the address of one", what);
  uint32_t given;
  memcpy(&given, in, sizeof given);
  if (given < least)
    return weir_fail(WEIR_E_ABI, "%s.struct_size is %u, at least %zu is needed; set it to sizeof(%s)", what, given,
                     least, what);
  const unsigned char *bytes = in;
  for (size_t i = size; i < given; i++)
    if (bytes[i])
      return weir_fail(WEIR_E_ABI,
                       "%s.struct_size is %u and byte %zu is set, but weir %s knows only %zu bytes of it; "
                       "leave newer members zero or install a newer libweir",
                       what, given, i, PACKAGE_VERSION, size);
  memset(out, 0, size);
  memcpy(out, in, given < size ? given : size);
  given = (uint32_t)size;
  memcpy(out, &given, sizeof given);
  return WEIR_OK;
}

weir_status weir_struct_out(void *out, const void *in, size_t size, const char *what) {
  if (!out) return weir_fail(WEIR_E_NULL, "%s is null; pass the address of one", what);
  uint32_t given;
  memcpy(&given, out, sizeof given);
  if (given < 2 * sizeof given)
    return weir_fail(WEIR_E_ABI, "%s.struct_size is %u; set it to sizeof(%s) before the call", what, given, what);
  memcpy(out, in, given < size ? given : size);
  if (given > size) memset((char *)out + size, 0, given - size);
  memcpy(out, &given, sizeof given);
  return WEIR_OK;
}
