#!/bin/sh
# SPDX-License-Identifier: MIT
# The committed PTX is, byte for byte, what the kernel sources give. Needs the nvcc
# that made it (ptx/TOOLKIT): another one gives other code that is no less right.
set -u
: "${abs_top_srcdir:?names the source directory}"
PATH=$PATH:/usr/local/cuda/bin
ptx=$abs_top_srcdir/ptx gemma=$abs_top_srcdir/examples/gemma
made=$(cat "$ptx/TOOLKIT") || exit 1
here=$("${NVCC:-nvcc}" --version 2>/dev/null | sed -n 's/^.*, V\([0-9.]*\)$/\1/p')
if [ "$here" != "$made" ]; then
  echo "the PTX was made by nvcc $made, and here is ${here:-none}: nothing to compare"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
"$ptx/generate.sh" "$work" || { echo "FAILED: generate.sh"; exit 1; }
failed=0 count=0
for name in $({ cd "$work" && ls ./*.ptx && cd "$ptx" && ls ./*.ptx && cd "$gemma" && ls ./*.ptx; } | sort -u); do
  name=${name#./}
  file=$ptx/$name
  [ -f "$file" ] || file=$gemma/$name
  if cmp -s "$work/$name" "$file"; then
    count=$((count + 1))
  else
    echo "FAILED: ${file#"$abs_top_srcdir/"} is not what its source gives; run make ptx"
    diff "$file" "$work/$name" 2>&1 | head -n 6
    failed=1
  fi
done
[ $count -gt 0 ] || { echo "FAILED: nothing was compared"; exit 1; }
exit $failed
