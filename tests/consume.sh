#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a directory of its own, builds a host and a plugin with what
# pkg-config says and nothing else, runs both, uninstalls, and finds nothing left.
#
# Takes abs_top_builddir, MAKE, CC and PKG_CONFIG.
set -u
: "${MAKE:=make}" "${CC:=cc}" "${PKG_CONFIG:=pkg-config}"
: "${abs_top_builddir:?names the build directory}"
if ! $PKG_CONFIG --version >/dev/null 2>&1; then
  echo "skipped: no $PKG_CONFIG"
  exit 77
fi
case "$(sed -n 's/^CFLAGS = //p' "$abs_top_builddir/Makefile")" in
  *-fsanitize*) echo "skipped: the installed library wants a sanitizer's runtime"; exit 77 ;;
esac
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
root=$work/root
fail() {
  echo "FAILED: $*"
  [ -f "$work/log" ] && tail -n 30 "$work/log"
  exit 1
}
try() {
  "$@" >"$work/log" 2>&1 || fail "$*"
}

MAKEFLAGS= MAKELEVEL=
try $MAKE -C "$abs_top_builddir" install DESTDIR="$root"
pc=$(find "$root" -name weir.pc)
[ -n "$pc" ] || fail "weir.pc was not installed"
PKG_CONFIG_LIBDIR=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
unset PKG_CONFIG_PATH
cflags=$($PKG_CONFIG --cflags weir) || fail "pkg-config --cflags weir"
libs=$($PKG_CONFIG --libs weir) || fail "pkg-config --libs weir"
plugindir=$($PKG_CONFIG --variable=plugindir weir)
libdir=$($PKG_CONFIG --variable=libdir weir)
case $plugindir in
  *"$libdir"*/*) ;;
  *) fail "pkg-config --variable=plugindir weir gives \"$plugindir\"" ;;
esac

cat >"$work/plugin.c" <<'END'
#include <stdlib.h>
#include <string.h>
#include <weir/plugin.h>

struct weir_plugin_plan {
  uint32_t n;
};

static void score(void *state, const weir_device_info *device, const weir_matvec_desc *desc, weir_score *out) {
  (void)state;
  (void)device;
  weir_score_set(out, desc->y_type == WEIR_F32 ? 2 : 0, "constant, and only as f32");
}

static weir_status plan(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                        weir_plugin_plan **out_plan) {
  (void)state;
  (void)device;
  *out_plan = calloc(1, sizeof **out_plan);
  if (*out_plan == NULL) {
    return WEIR_E_NOMEM;
  }
  (*out_plan)->n = desc->n;
  return WEIR_OK;
}

static void plan_free(weir_plugin_plan *plan) {
  free(plan);
}

static void info(const weir_plugin_plan *plan, weir_matvec_info *out) {
  out->packed_size = plan->n;
  out->align = 1;
  strcpy(out->kernel, "constant");
}

static uint64_t act_size(const weir_plugin_plan *plan, uint32_t m) {
  (void)plan;
  return m;
}

static weir_status pack(const weir_plugin_plan *plan, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                        void *out_packed) {
  (void)plan;
  (void)source;
  memset((char *)out_packed + n0, 0, n1 - n0);
  return WEIR_OK;
}

static weir_status quantize(const weir_plugin_plan *plan, const weir_quantize_args *args, weir_stream stream) {
  (void)plan;
  (void)stream;
  memset(args->act, 0, args->m);
  return WEIR_OK;
}

static weir_status matvec(const weir_plugin_plan *plan, const weir_matvec_args *args, weir_stream stream) {
  (void)stream;
  for (uint32_t i = 0; i < args->m * plan->n; i++) {
    ((float *)args->y)[i] = 7;
  }
  return WEIR_OK;
}

static const weir_matvec_vtable table = {
  .struct_size = sizeof table, .score = score, .plan = plan, .plan_free = plan_free, .info = info,
  .act_size = act_size, .pack = pack, .quantize = quantize, .matvec = matvec,
};
static const weir_plugin_op ops[] = {{WEIR_OP_INT4_MATVEC, 0, &table}};

WEIR_PLUGIN(outsider) = {
  WEIR_PLUGIN_HEADER(0), 1, ops, "outsider", "0.1", "MIT", "built out of the tree", NULL, NULL
};
END

cat >"$work/host.c" <<'END'
#include <stdio.h>
#include <weir/weir.h>

static int check(weir_status status, const char *what) {
  if (status != WEIR_OK) {
    fprintf(stderr, "%s: %s\n", what, weir_last_error());
  }
  return status == WEIR_OK;
}

int main(int argc, char **argv) {
  static unsigned char codes[4 * 16];
  static unsigned short scales[4], x[32];
  static unsigned char packed[65536], act[65536];
  float y[4] = {0};
  weir_options options = {.struct_size = sizeof options, .selection = argc > 2 ? argv[2] : NULL};
  weir_matvec_desc desc = {
    .struct_size = sizeof desc, .op = WEIR_OP_INT4_MATVEC, .n = 4, .k = 32, .m_max = 1, .group = 32,
    .scale_type = WEIR_BF16, .x_type = WEIR_BF16, .y_type = WEIR_F32,
  };
  weir_runtime *runtime;
  weir_device *device;
  weir_plan *plan;
  weir_matvec_info info = {.struct_size = sizeof info};
  void *on_device[2];
  options.plugin_path = argc > 1 ? argv[1] : NULL;
  if (!check(weir_open(&options, &runtime), "open") || !check(weir_device_open(runtime, "cpu", &device), "device") ||
      !check(weir_plan_matvec(device, &desc, &plan), "plan") || !check(weir_matvec_get(plan, &info), "info") ||
      !check(weir_memory_alloc(device, sizeof packed, &on_device[0]), "memory") ||
      !check(weir_memory_alloc(device, sizeof act, &on_device[1]), "memory")) {
    return 1;
  }
  weir_matvec_source source = {.struct_size = sizeof source, .codes = codes, .scales = scales};
  weir_quantize_args quantize = {.struct_size = sizeof quantize, .m = 1, .x = x, .act = on_device[1],
                                 .act_size = sizeof act};
  weir_matvec_args matvec = {.struct_size = sizeof matvec, .m = 1, .packed = on_device[0], .act = on_device[1], .y = y};
  if (!check(weir_pack(plan, &source, 0, 4, on_device[0], sizeof packed), "pack") ||
      !check(weir_quantize(plan, &quantize, NULL), "quantize") || !check(weir_matvec(plan, &matvec, NULL), "matvec")) {
    return 1;
  }
  printf("%s %g\n", weir_plan_plugin(plan), y[3]);
  weir_plan_free(plan);
  weir_memory_free(device, on_device[0]);
  weir_memory_free(device, on_device[1]);
  weir_device_close(device);
  weir_close(runtime);
  return 0;
}
END

strict='-std=c11 -Wall -Wextra -Werror'
# shellcheck disable=SC2086
try $CC $strict $cflags -fPIC -shared -fvisibility=hidden "$work/plugin.c" -o "$work/outsider.so" -Wl,-z,now -Wl,-z,defs
# shellcheck disable=SC2086
try $CC $strict $cflags "$work/host.c" -o "$work/host" $libs
case $libdir in "$root"*) ;; *) libdir=$root$libdir ;; esac
case $plugindir in "$root"*) ;; *) plugindir=$root$plugindir ;; esac

expect() {
  want=$1
  shift
  got=$(env -u WEIR_PLUGINS -u WEIR_PLUGIN_PATH -u WEIR_LOG LD_LIBRARY_PATH="$libdir" "$work/host" "$@" 2>&1)
  [ "$got" = "$want" ] || fail "host $*: \"$got\" instead of \"$want\""
}
expect "outsider 7" "$work/outsider.so" int4_matvec=outsider
expect "ref 0" "$plugindir" int4_matvec=ref
expect "cpu 0" "$plugindir" int4_matvec=cpu

try $MAKE -C "$abs_top_builddir" uninstall DESTDIR="$root"
left=$(find "$root" ! -type d)
[ -z "$left" ] || fail "uninstalling left $left"
exit 0
