#!/bin/sh
# SPDX-License-Identifier: MIT
# weir-gemma on a synthetic model: what must not change its tokens (the cut of the prompt, a cache
# of weights, a seed that is given twice), a cache that is not to be trusted, the forms of output,
# and, on the stand-in driver, that a new token is one launch of a graph and nothing else.
set -u
: "${abs_top_builddir:?names the build directory}" "${abs_top_srcdir:?names the source directory}"
: "${WEIR_TEST_LIBWEIR:?names libweir.so}" "${WEIR_TEST_PLUGINS:?names the directory of the plugins}"
: "${WEIR_TEST_PTX:?names the directory of the PTX}" "${WEIR_TEST_FAKECUDA:?names the directory of the stand-in driver}"
unset WEIR_PLUGINS WEIR_LOG WEIR_THREADS WEIR_PLUGIN_PATH WEIR_PTX_PATH WEIR_CUDA_LIBRARY
gemma=$abs_top_builddir/examples/gemma/weir-gemma
page=$abs_top_srcdir/man/weir-gemma.1
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
prompt=$(seq -s , 1 40)

fail() {
  echo "FAILED: $*"
  [ -f "$work/err" ] && sed 's/^/  /' "$work/err"
  exit 1
}

run() { # ARGUMENTS: stdout to $work/out
  echo "weir-gemma --synthetic tiny $*" | sed "s/$prompt/1,...,40/"
  "$gemma" --library "$WEIR_TEST_LIBWEIR" --synthetic tiny "$@" > "$work/out" 2> "$work/err" < /dev/null ||
    fail "exit status $? of: $*"
}

same() { # ARGUMENTS: the tokens are those of the file `expected`
  run --tokens "$prompt" -n 30 --print-tokens "$@"
  cmp -s "$work/out" "$work/expected" || fail "other tokens with: $*"
}

# ---- The CPU: around the window of 16 and across it ----
run --device cpu --tokens "$prompt" -n 30 --print-tokens
cp "$work/out" "$work/expected"
[ "$(tail -n 1 "$work/expected" | tr , '\n' | sort -u | wc -l)" -gt 5 ] || fail "hardly any token differs from another"
for chunk in 1 2 15 16 17 33; do same --device cpu --chunk $chunk; done
same --device cpu --context 69
same --device cpu --profile

# ---- Caches ----
cache=$work/cache
same --device cpu --cache "$cache"
file=$(ls "$cache"/*.weights) || fail "no cache was written"
cp "$file" "$work/good"
same --device cpu --cache "$cache"
grep -q "made anew" "$work/err" && fail "a good cache was not used"
damage() { # WORDS
  same --device cpu --cache "$cache"
  grep -q "$1.*made anew" "$work/err" || fail "a cache that $1 was taken"
  cmp -s "$file" "$work/good" || fail "a cache that $1 was not made anew"
}
printf 'x' | dd of="$file" bs=1 seek=$(($(wc -c < "$file") / 2)) conv=notrunc 2> "$work/err"
damage "is damaged"
head -c 5000 "$work/good" > "$file"
damage "is truncated"
printf 'weights' > "$file"
damage "is no cache"
printf 'x' | dd of="$file" bs=1 seek=300 conv=notrunc 2> "$work/err"
damage "is damaged"
"$abs_top_builddir/tests/gemma_tiny" "$work/other.gguf" || exit 99
"$gemma" --library "$WEIR_TEST_LIBWEIR" -m "$work/other.gguf" --device cpu --tokens 2 -n 1 --cache "$work/others" \
  > "$work/out" 2> "$work/err" || fail "exit status $? with another model"
cp "$work/others"/*.weights "$file"
damage "is of another model"
[ "$(ls "$cache" | wc -l)" -eq 1 ] || fail "something was left in the cache directory: $(ls "$cache")"

# ---- Drawing ----
run --device cpu --tokens "$prompt" -n 30 --print-tokens --temperature 1 --top-p 0.9 --seed 7
cp "$work/out" "$work/drawn"
cmp -s "$work/drawn" "$work/expected" && fail "a temperature of 1 changes nothing"
run --device cpu --tokens "$prompt" -n 30 --print-tokens --temperature 1 --top-p 0.9 --seed 7 --chunk 3
cmp -s "$work/drawn" "$work/out" || fail "the same seed gave other tokens"
run --device cpu --tokens "$prompt" -n 30 --print-tokens --temperature 1 --top-p 0.9 --seed 8
cmp -s "$work/drawn" "$work/out" && fail "another seed gave the same tokens"

# ---- Output ----
run --device cpu --bench 20,5
grep -q '^decode .*tok/s' "$work/out" || fail "--bench prints no rate"
if command -v python3 > /dev/null; then
  run --device cpu --tokens "$prompt" -n 3 --json --logits 4 --profile
  python3 -c 'import json, sys; d = json.load(sys.stdin); t = d["tokens"]
assert len(t) == 3 and all(len(o["top"]) == 4 and o["top"][0]["id"] == o["id"] for o in t)
assert d["prompt_tokens"] == list(range(1, 41)) and d["plugins"] and d["profile"]["decode"]["steps"] == 2' \
    < "$work/out" || fail "--json --logits"
  run --device cpu --bench 20,5 --json --bandwidth 10
  python3 -c 'import json, sys; d = json.load(sys.stdin)
assert len(d["decode_tokens_per_second"]["runs"]) == 10 and d["read_bandwidth"] == 1e10 and d["bytes_per_token"] > 0' \
    < "$work/out" || fail "--bench --json"
fi
"$gemma" --help | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u > "$work/shown"
sed 's/\\-/-/g' "$page" | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u > "$work/documented"
diff "$work/shown" "$work/documented" || fail "--help (<) and weir-gemma.1 (>) differ"

# ---- CUDA ----
[ -f "$WEIR_TEST_FAKECUDA/libcuda.so.1" ] || { echo "not on CUDA: the stand-in driver was not built"; exit 0; }
WEIR_PLUGIN_PATH=$WEIR_TEST_PLUGINS WEIR_PTX_PATH=$WEIR_TEST_PTX WEIR_CUDA_LIBRARY=$WEIR_TEST_FAKECUDA/libcuda.so.1
FAKECUDA_LOG=$work/log
export WEIR_PLUGIN_PATH WEIR_PTX_PATH WEIR_CUDA_LIBRARY FAKECUDA_LOG
run --tokens "$prompt" -n 30 --print-tokens
cp "$work/out" "$work/expected"
grep -q "cuda-" "$work/err" || fail "no CUDA plugin was used"
[ "$(grep -c '^cuGraphLaunch' "$work/log")" -eq 29 ] || fail "29 new tokens are not 29 launches of a graph"
[ "$(grep -c '^cuStreamBeginCapture' "$work/log")" -eq 1 ] || fail "the graph was captured more than once"
sed -n '/^cuGraphLaunch/,$p' "$work/log" | sed '/^cuMemFree\|^cuGraphExecDestroy/,$d' | sed 's/[ (].*//' | sort | uniq -c > "$work/calls"
grep -vE 'cuGraphLaunch|cuMemcpyDtoHAsync|cuStreamSynchronize|cuCtx' "$work/calls" > "$work/other"
[ ! -s "$work/other" ] || { cat "$work/other"; fail "steps make other calls than launch, read and wait"; }
same --device cuda:0
same --device cuda:0 --cache "$cache"
same --device cuda:0 --cache "$cache"
grep -q "made anew" "$work/err" && fail "a good cache was not used"
same --device cuda:0 --profile
exit 0
