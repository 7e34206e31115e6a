#!/bin/sh
# SPDX-License-Identifier: MIT
# What weir-gemma says to bad input: exit status, the words of the sentence, and that it is all.
# WEIR_TEST_WRAPPER, if set, is put before each command ("valgrind -q --error-exitcode=99 --leak-check=full").
set -u
: "${abs_top_builddir:?names the build directory}" "${abs_top_srcdir:?names the source directory}"
: "${WEIR_TEST_LIBWEIR:?names libweir.so}" "${WEIR_TEST_PLUGINS:?names the directory of the plugins}"
: "${WEIR_TEST_PTX:?names the directory of the PTX}" "${WEIR_TEST_FAKECUDA:?names the directory of the stand-in driver}"
unset WEIR_PLUGINS WEIR_LOG WEIR_THREADS WEIR_PLUGIN_PATH WEIR_PTX_PATH WEIR_CUDA_LIBRARY
gemma=$abs_top_builddir/examples/gemma/weir-gemma
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
tiny=$work/tiny.gguf
"$abs_top_builddir/tests/gemma_tiny" "$tiny" || exit 99
failures=0

fail() {
  failures=$((failures + 1))
  echo "FAILED: $*"
  sed 's/^/  /' "$work/err"
}

run() { # ARGUMENTS: to $work/out and $work/err
  # shellcheck disable=SC2086
  ${WEIR_TEST_WRAPPER:-} "$gemma" --library "$WEIR_TEST_LIBWEIR" "$@" > "$work/out" 2> "$work/err" < /dev/null
}

names() { # WORD...
  for word; do
    grep -qF -e "$word" "$work/err" || fail "the sentence does not name '$word'"
  done
}

refused() { # STATUS WORD... -- ARGUMENTS
  status=$1
  shift
  : > "$work/words"
  while [ "$1" != -- ]; do echo "$1" >> "$work/words"; shift; done
  shift
  echo "weir-gemma $*"
  run "$@"
  found=$?
  [ $found -eq "$status" ] || fail "exit status $found, not $status"
  [ -s "$work/out" ] && fail "something was written to stdout"
  [ "$(grep -c '^weir-gemma: ' "$work/err")" -eq 1 ] || fail "not one sentence on stderr"
  while read -r word; do names "$word"; done < "$work/words"
}

works() { # ARGUMENTS
  echo "weir-gemma $*"
  run "$@" || fail "exit status $?, not 0"
}

tiny() { works -m "$tiny" --device cpu -n 3 "$@"; }

# ---- The command line ----
refused 2 --model --synthetic --help -- -p hello
refused 2 prompt --tokens -- -m "$tiny"
refused 2 --nonsense --help -- -m "$tiny" -p hello --nonsense
refused 2 --context "-3" -- -m "$tiny" -p hello --context -3
refused 2 -x -- -xm "$tiny" -p hello
refused 2 --logits 1000 -- -m "$tiny" -p hello --json --logits 1001
refused 2 --logits --bench -- -m "$tiny" --bench 2,2 --json --logits 3
refused 2 conversation --json -- -m "$tiny" --chat --json
refused 2 conversation "-n 0" -- -m "$tiny" --chat -n 0
if [ -c /dev/full ]; then
  "$gemma" --help > /dev/full 2> "$work/err" && fail "--help that could not be written gave exit status 0"
  "$gemma" --library "$WEIR_TEST_LIBWEIR" -m "$tiny" --device cpu --bench 2,2 --bandwidth 1 > /dev/full 2> "$work/err" &&
    fail "a bench that could not be written gave exit status 0"
fi
refused 2 --bench 7 -- -m "$tiny" --bench 7
refused 2 synthetic --tokens -- --synthetic tiny --perplexity "$tiny"
refused 1 tiny nonsense gemma3-270m gemma4-31b -- --synthetic nonsense --tokens 1
refused 1 "nowhere/libweir.so" install --library -- --library nowhere/libweir.so -m "$tiny" -p hello

# ---- The file ----
refused 1 "nowhere.gguf" "No such file" -- -m "$work/nowhere.gguf" -p hello
refused 1 "$work" directory -- -m "$work" -p hello
: > "$work/empty.gguf"
refused 1 empty.gguf empty -- -m "$work/empty.gguf" -p hello
echo "no model at all, but some text" > "$work/text.gguf"
refused 1 text.gguf GGUF -- -m "$work/text.gguf" -p hello
size=$(wc -c < "$tiny")
for bytes in 4 20 100 1000 5000 9000 $((size / 2)) $((size - 400)); do
  head -c $bytes "$tiny" > "$work/short.gguf"
  refused 1 short.gguf -- -m "$work/short.gguf" -p hello
done
names truncated
"$abs_top_builddir/tests/gemma_tiny" "$work/llama.gguf" llama
refused 1 "'llama'" gemma3 gemma4 -- -m "$work/llama.gguf" -p hello
sed 's/blk\.1\.ffn_down/blk.1.ffn_dawn/' "$tiny" > "$work/renamed.gguf"
refused 1 renamed.gguf blk.1.ffn_down.weight -- -m "$work/renamed.gguf" -p hello
sed 's/tokenizer\.ggml\.scores/tokenizer.ggml.scares/' "$tiny" > "$work/scoreless.gguf"
refused 1 scoreless.gguf tokenizer.ggml.scores -- -m "$work/scoreless.gguf" -p hello
sed 's/<0x41>/<0x4!>/' "$tiny" > "$work/byteless.gguf"
refused 1 "<0x41>" byte -- -m "$work/byteless.gguf" -p hello

# ---- The prompt ----
tiny -p hello
refused 1 "token 2" 288 287 -- -m "$tiny" --device cpu --tokens 2,288
refused 1 "token 1" 2147483647 287 -- -m "$tiny" --device cpu --tokens 2147483647
refused 1 --tokens "number 2" -- -m "$tiny" --device cpu --tokens 2,-1
refused 1 --tokens "number 1" -- -m "$tiny" --device cpu --tokens ""
refused 1 --tokens "number 2" -- -m "$tiny" --device cpu --tokens 2,4294967298
letters=abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstu
tiny -p "$letters"
refused 1 49 48 -- -m "$tiny" --device cpu -p "${letters}v"
refused 1 6 5 --context -- -m "$tiny" --device cpu --context 5 -p hello
refused 1 49 48 trained -- -m "$tiny" --device cpu --context 49 -n 3 -p hello
refused 1 nowhere.txt "No such file" -- -m "$tiny" --device cpu --prompt-file "$work/nowhere.txt"
refused 1 nowhere.txt "No such file" -- -m "$tiny" --device cpu --perplexity "$work/nowhere.txt"
: > "$work/empty.txt"
refused 1 empty.txt "at least one token" -- -m "$tiny" --device cpu --perplexity "$work/empty.txt"
refused 1 turns --chat -- -m "$tiny" --device cpu --chat -p hello
refused 1 --logits 289 288 -- -m "$tiny" --device cpu --logits 289 --json -n 3 -p hello

# ---- The device ----
refused 1 "tpu:0" -- -m "$tiny" --device tpu:0 -n 3 -p hello
if [ -f "$WEIR_TEST_FAKECUDA/libcuda.so.1" ]; then
  WEIR_PLUGIN_PATH=$WEIR_TEST_PLUGINS WEIR_PTX_PATH=$WEIR_TEST_PTX WEIR_CUDA_LIBRARY=$WEIR_TEST_FAKECUDA/libcuda.so.1
  export WEIR_PLUGIN_PATH WEIR_PTX_PATH WEIR_CUDA_LIBRARY
  FAKECUDA_DEVICES=sm=90,mem=400K,name=Small
  export FAKECUDA_DEVICES
  refused 1 GB Small weights "K and V" buffers --context -- -m "$tiny" --device cuda:0 -n 3 -p hello
  FAKECUDA_DEVICES=sm=90,mem=1G,name=Busy FAKECUDA_FAIL=cuMemAlloc_v2=2@2
  export FAKECUDA_FAIL
  refused 1 GB Busy weights "K and V" memory -- -m "$tiny" --device cuda:0 -n 3 -p hello
  unset FAKECUDA_FAIL
  FAKECUDA_DEVICES=
  refused 1 CUDA GPU -- -m "$tiny" --device cuda:0 -n 3 -p hello
  unset WEIR_PLUGIN_PATH WEIR_PTX_PATH WEIR_CUDA_LIBRARY FAKECUDA_DEVICES
fi

# ---- The cache: rebuilt, never trusted, never in the way of the answer ----
cached() { # WORD: a start with the cache tells it and gives the same tokens; the start after it tells nothing
  tiny -p hello --print-tokens --cache "$work/cache"
  cmp -s "$work/out" "$work/right" || fail "other tokens than without a cache"
  [ -z "$1" ] || names "$1" "made anew"
  [ -n "$1" ] || ! grep -q "made anew" "$work/err" || fail "a good cache was made anew"
}
tiny -p hello --print-tokens
cp "$work/out" "$work/right"
cached ""
cached ""
set -- "$work"/cache/*
[ $# -eq 1 ] || fail "the cache is $# files, not 1"
cache=$1
cp "$cache" "$work/good"
size=$(wc -c < "$cache")
spoil() { # OFFSET: another byte there
  byte=$((255 - $(od -An -tu1 -j"$1" -N1 "$cache")))
  # shellcheck disable=SC2059
  printf "\\$(printf %o $byte)" | dd of="$cache" bs=1 seek="$1" conv=notrunc 2> /dev/null
}
last=$(cmp -l "$work/good" /dev/zero 2> /dev/null | tail -n 1 | awk '{ print $1 - 1 }')
for at in 0 8 16 24 32 60 "$last"; do # magic, version, model, size, checksum, names, weights
  spoil "$at"
  cached "$cache"
  cmp -s "$cache" "$work/good" || fail "the cache with another byte $at was not made anew as it was"
  cached ""
done
for bytes in 0 7 50 3000 $((size - 1)); do
  head -c "$bytes" "$work/good" > "$cache"
  cached "$cache"
  cached ""
done
"$abs_top_builddir/tests/gemma_tiny" "$work/other.gguf" gemma3 2
run -m "$work/other.gguf" --device cpu -n 3 -p hello --cache "$work/other" || fail "a cache of another model"
cp "$work"/other/* "$cache"
cached "another model"
cached ""
echo text > "$work/file"
refused 1 "$work/file" --cache -- -m "$tiny" --device cpu -n 3 -p hello --cache "$work/file"
[ -z "$(find "$work/cache" -name '*.part')" ] || fail "a part of a cache was left"

[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
