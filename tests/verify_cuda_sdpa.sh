#!/bin/sh
# SPDX-License-Identifier: MIT
# Attention on CUDA through the whole conformance suite on the stand-in driver: plain, in
# a captured graph replayed with changed inputs and lengths, and with blocks in random
# order and interleaved on the oldest device served, where the large tiles fit into shared
# memory and where they do not. Every kernel must have been launched. Under a sanitizer
# the short selection is all, and a few cases for graphs and for little shared memory.
set -u
LC_ALL=C
export LC_ALL
: "${abs_top_srcdir:?names the source directory}"
. "$abs_top_srcdir/tests/stand_in.sh"
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
export FAKECUDA_LOG
launched() { sed -n 's/^cuLaunchKernel.* name=\([^ ]*\).*/\1/p' "$@" | sort -u; }

roomy=FAKECUDA_DEVICES=sm=80,sms=16 narrow=FAKECUDA_DEVICES=sm=80,sms=16,smem=99K few=FAKECUDA_DEVICES=sm=90,sms
of_plugin() { # PLUGIN
  # shellcheck disable=SC2086
  run -- --plugin "$1" $whole
  run -- --plugin "$1" --graph $quick
  run $roomy FAKECUDA_SHUFFLE=3 FAKECUDA_RESIDENT=4 -- --plugin "$1" --quick --seed 2
  run $narrow FAKECUDA_SHUFFLE=5 FAKECUDA_RESIDENT=3 -- --plugin "$1" $quick --seed 3
}
# Few multiprocessors: pairs of blocks go from tile to tile.
of_pairs() {
  run $few=2 FAKECUDA_SHUFFLE=2 FAKECUDA_RESIDENT=4 -- --plugin cuda-sdpa-standard --filter pairs --quick
  # shellcheck disable=SC2086
  run $few=5 FAKECUDA_SHUFFLE=5 FAKECUDA_RESIDENT=4 -- --plugin cuda-sdpa-standard --filter pairs $whole
}
# One processor each; they are the longest of all suites.
FAKECUDA_LOG=$work/split.log
(of_plugin cuda-sdpa-split) > "$work/split" 2>&1 &
split=$!
FAKECUDA_LOG=$work/standard.log
(of_plugin cuda-sdpa-standard && of_pairs) > "$work/standard" 2>&1 &
standard=$!
failed=no
wait $split || failed=yes
wait $standard || failed=yes
cat "$work/split" "$work/standard"
[ $failed = no ] || exit 1
launched "$work/split.log" "$work/standard.log" > "$work/launched"
sed -n 's/^\.visible \.entry \(sdpa_[a-z0-9_]*\).*/\1/p' "$WEIR_TEST_PTX"/sdpa_*.sm_80.ptx "$WEIR_TEST_PTX"/sdpa_*.sm_90a.ptx | sort -u > "$work/entries"
[ -s "$work/entries" ] || { echo "FAILED: $WEIR_TEST_PTX has no kernel for attention"; exit 1; }
comm -13 "$work/launched" "$work/entries" > "$work/idle" || exit 99
if [ -z "$whole" ] && [ -s "$work/idle" ]; then
  echo "FAILED: no case launches:" && cat "$work/idle"
  exit 1
fi

# That the two devices have other kernels: 32 rows of 256 elements for each KV head.
problem=sdpa/d256/h8x2-q8-kv128/bf16-bf16-bf16/ordinary/gqa-short-seqlen
FAKECUDA_LOG=$work/log
launches() { # SETTING ROWS
  rm -f "$FAKECUDA_LOG"
  run "$1" -- --plugin cuda-sdpa-split --filter $problem
  launched "$FAKECUDA_LOG" | grep -qx "sdpa_bf16_d256_r$2" || {
    echo "FAILED: on $1 no kernel for $2 rows was launched, but:" && launched "$FAKECUDA_LOG"
    exit 1
  }
}
launches $roomy 64
launches $narrow 16
exit 0
