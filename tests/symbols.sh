#!/bin/sh
# SPDX-License-Identifier: MIT
# libweir exports exactly the functions that weir.h declares with WEIR_EXPORT, and
# each of them but weir_get_api has its member in struct weir_api.
#
# Takes WEIR_TEST_LIBWEIR (the shared library), NM and top_srcdir.
set -u
: "${NM:=nm}" "${top_srcdir:=..}"
if [ ! -f "${WEIR_TEST_LIBWEIR:-}" ]; then
  echo "WEIR_TEST_LIBWEIR (${WEIR_TEST_LIBWEIR:-}) is no file: nothing to look at"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
header=$top_srcdir/include/weir/weir.h
LC_ALL=C
export LC_ALL

sed -n 's/^WEIR_EXPORT [^(]*[ *]\(weir_[a-z0-9_]*\)(.*/\1/p' "$header" | sort >"$work/declared"
# NM may hold options.
# shellcheck disable=SC2086
$NM -D --defined-only "$WEIR_TEST_LIBWEIR" | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' |
  sort >"$work/exported"
sed -n '/^typedef struct weir_api {/,/^} weir_api;/s/.*(\*\([a-z0-9_]*\))(.*/weir_\1/p' "$header" | sort >"$work/members"
grep -vx weir_get_api "$work/declared" >"$work/callable"

failed=0
compare() {
  if ! diff "$work/$1" "$work/$2" >"$work/diff"; then
    echo "FAILED: $3 (<) differ from $4 (>):"
    grep '^[<>]' "$work/diff"
    failed=1
  fi
}
count=$(wc -l <"$work/declared")
if [ "$count" -lt 40 ] || ! grep -qx weir_get_api "$work/declared"; then
  echo "FAILED: only $count declarations were found in $header"
  failed=1
fi
compare declared exported "functions declared in weir.h" "symbols of the library"
compare callable members "functions declared in weir.h" "members of weir_api"
exit $failed
