#!/bin/sh
# SPDX-License-Identifier: MIT
# weir-gemma --perplexity on a small random model: what gemma_perplexity.py makes of single logits, cut into windows,
# and the same from the plugins ref and cpu within 0.5 %. WEIR_TEST_PERPLEXITY=all: also the model that ./quickstart
# fetches, on the text of tests/data (the plugin ref takes minutes).
set -u
: "${abs_top_builddir:?names the build directory}" "${abs_top_srcdir:?names the source directory}"
: "${WEIR_TEST_LIBWEIR:?names libweir.so}" "${WEIR_TEST_PLUGINS:?names the directory of the plugins}"
command -v python3 > /dev/null || { echo "skipped: there is no python3"; exit 77; }
unset WEIR_PLUGINS WEIR_LOG
WEIR_PLUGIN_PATH=$WEIR_TEST_PLUGINS
PYTHONDONTWRITEBYTECODE=1
export WEIR_PLUGIN_PATH PYTHONDONTWRITEBYTECODE
gemma=$abs_top_builddir/examples/gemma/weir-gemma
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
"$abs_top_builddir/tests/gemma_tiny" "$work/tiny.gguf" || exit 99
echo "the dog and the cat" > "$work/text"

compare() { # MODEL TEXT ARGUMENTS
  python3 "$abs_top_srcdir/tests/gemma_perplexity.py" "$gemma" "$WEIR_TEST_LIBWEIR" "$@" || { echo "FAILED"; exit 1; }
}
compare "$work/tiny.gguf" "$work/text" --by-hand
compare "$work/tiny.gguf" "$work/text" --by-hand --context 7
compare "$work/tiny.gguf" "$work/text" --by-hand --context 1
compare "$work/tiny.gguf" "$work/text" --by-hand --chunk 3
compare "$work/tiny.gguf" "$abs_top_srcdir/tests/data/tom_sawyer.txt" --context 40
real=${WEIR_MODEL:-$abs_top_srcdir/model/gemma-3-270m-q4_k_m.gguf}
[ "${WEIR_TEST_PERPLEXITY:-}" != all ] || [ ! -f "$real" ] || compare "$real" "$abs_top_srcdir/tests/data/tom_sawyer.txt"
