#!/bin/sh
# SPDX-License-Identifier: MIT
# The tokenizer of weir-gemma against gemma_tokenizer.py, on made vocabularies and, where the model
# that ./quickstart fetches is there (or WEIR_MODEL names one), on Gemma 3's own.
set -u
: "${abs_top_builddir:?names the build directory}" "${abs_top_srcdir:?names the source directory}"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null || { echo "skipped: there is no python3 of version 3.10 or later"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
model=${WEIR_MODEL:-$abs_top_srcdir/model/gemma-3-270m-q4_k_m.gguf}
[ -f "$model" ] || { echo "no $model: made vocabularies only"; model=""; }
PYTHONDONTWRITEBYTECODE=1 python3 "$abs_top_srcdir/tests/gemma_tokenizer.py" "$abs_top_builddir/tests/gemma_tokens" \
  "$work" ${model:+"$model"}
