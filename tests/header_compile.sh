#!/bin/sh
# SPDX-License-Identifier: MIT
# Each header compiles alone and twice, as C99, C11 and C++17, without a warning;
# so does a plugin that uses every macro of weir/plugin.h.
#
# Takes CC, CXX (optional) and top_srcdir from the environment.
set -u
: "${CC:=cc}" "${CXX:=c++}" "${top_srcdir:=..}"
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
failed=0
strict='-Wall -Wextra -Wpedantic -Werror -fsyntax-only'

for header in plugin.h weir.h; do
  printf '#include <weir/%s>\n#include <weir/%s>\nint weir_test_unit;\n' "$header" "$header" >"$work/$header.c"
done

cat >"$work/plugin.c" <<'END'
#include <weir/plugin.h>

static void score(void *state, const weir_device_info *device, const weir_matvec_desc *desc, weir_score *out) {
  (void)state;
  (void)device;
  weir_score_set(out, WEIR_HAS(desc, weir_matvec_desc, bias_type) ? 0 : 1, "%s", "says no");
}

static const weir_matvec_vtable table = {
  (uint32_t)sizeof(weir_matvec_vtable), 0, score, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
};
static const weir_plugin_op ops[] = {{WEIR_OP_INT4_MATVEC, 0, &table}, {WEIR_OP_INT8_MATVEC, 0, &table}};

WEIR_PLUGIN(sample) = {
  WEIR_PLUGIN_HEADER(WEIR_PLUGIN_UNLOADABLE), 2, ops, "sample", "1.0", "MIT", "compiles", NULL, NULL
};
END

compile() {
  if ! "$@" >"$work/log" 2>&1; then
    echo "FAILED: $*"
    sed 's/^/  /' "$work/log"
    failed=1
  fi
}

for unit in "$work"/*.c; do
  for standard in c99 c11; do
    # shellcheck disable=SC2086
    compile $CC -std=$standard $strict -Wstrict-prototypes -Wmissing-declarations -I"$top_srcdir/include" "$unit"
    # shellcheck disable=SC2086
    compile $CC -std=$standard $strict -DWEIR_BUILTIN -I"$top_srcdir/include" "$unit"
  done
  if $CXX --version >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    compile $CXX -x c++ -std=c++17 $strict -I"$top_srcdir/include" "$unit"
  else
    echo "no C++ compiler ($CXX): C++17 was not tried"
  fi
done

# What only a warning would catch must be caught: the check is able to fail.
printf '#include <weir/weir.h>\nint f(int x) { int unused; return 0; }\n' >"$work/bad.c"
# shellcheck disable=SC2086
if $CC -std=c11 $strict -I"$top_srcdir/include" "$work/bad.c" >/dev/null 2>&1; then
  echo "FAILED: $CC lets a warning pass"
  failed=1
fi
exit $failed
