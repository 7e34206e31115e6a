#!/bin/sh
# SPDX-License-Identifier: MIT
# Every option that a command's --help shows is in weir.1, and every option in weir.1
# is one that some --help shows.
set -u
: "${abs_top_builddir:?names the build directory}" "${abs_top_srcdir:?names the source directory}"
weir=$abs_top_builddir/tools/weir
page=$abs_top_srcdir/man/weir.1
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
"$weir" --help > "$work/help" || { echo "FAILED: weir --help"; exit 1; }
for command in list devices explain verify bench synth; do
  grep -q "$command" "$work/help" || { echo "FAILED: weir --help does not name $command"; exit 1; }
  "$weir" $command --help >> "$work/help" || { echo "FAILED: weir $command --help"; exit 1; }
done
grep -oE -- '--[a-z][a-z0-9-]*' "$work/help" | sort -u > "$work/shown"
sed 's/\\-/-/g' "$page" | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u > "$work/documented"
[ "$(wc -l < "$work/shown")" -gt 10 ] || { echo "FAILED: --help shows hardly any option"; exit 1; }
if ! diff "$work/shown" "$work/documented" > "$work/diff"; then
  echo "FAILED: --help (<) and weir.1 (>) differ"
  cat "$work/diff"
  exit 1
fi
