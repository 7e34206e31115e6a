#!/bin/sh
# SPDX-License-Identifier: MIT
# weir-gemma's logits and greedy tokens against gemma_reference.py: on two random models of two layers with every plugin (the
# CUDA ones on the stand-in driver, and on a GPU where there is one), with the proof that wrong formulas are
# noticed; and on the real model where ./quickstart has fetched it or WEIR_MODEL names one.
# WEIR_TRUTH=full: 64 tokens of three prompts, one that is longer than the window, and all plugins there too.
set -u
: "${abs_top_builddir:?names the build directory}" "${abs_top_srcdir:?names the source directory}"
: "${WEIR_TEST_LIBWEIR:?names libweir.so}" "${WEIR_TEST_PLUGINS:?names the directory of the plugins}"
: "${WEIR_TEST_PTX:?names the directory of the PTX}" "${WEIR_TEST_FAKECUDA:?names the directory of the stand-in driver}"
unset WEIR_PLUGINS WEIR_LOG WEIR_CUDA_LIBRARY
export WEIR_PLUGIN_PATH="$WEIR_TEST_PLUGINS" WEIR_PTX_PATH="$WEIR_TEST_PTX" PYTHONDONTWRITEBYTECODE=1
. "$abs_top_srcdir/build-aux/need.sh"
python=$(python_with numpy) || { echo "skipped: no python3 here has numpy (Debian: python3-numpy)"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

truth() { # TITLE ARGUMENTS...
  title=$1
  shift
  echo "== $title"
  "$python" "$abs_top_srcdir/tests/gemma_truth.py" --program "$abs_top_builddir/examples/gemma/weir-gemma" \
    --option=--library --option="$WEIR_TEST_LIBWEIR" --work "$work" --title "$title" "$@" || failed=1
}
truth_cuda() { # NAME ARGUMENTS...
  name=$1
  shift
  truth "cuda-dp4a and cuda-sdpa-split on $name" --device cuda:0 \
    --plugins int4_matvec=cuda-dp4a,int8_matvec=cuda-dp4a,sdpa=cuda-sdpa-split:auto "$@"
  truth "cuda-dp4a-scalar and cuda-sdpa-standard on $name" --device cuda:0 \
    --plugins int4_matvec=cuda-dp4a-scalar,int8_matvec=cuda-dp4a-scalar,sdpa=cuda-sdpa-standard:auto "$@"
}
has_gpu() { "$abs_top_builddir/tools/weir" devices 2> /dev/null | grep -q '^cuda:0'; }

truth cpu --plugins cpu --mutations
truth ref --plugins ref --cases 5 -n 8
if has_gpu; then truth_cuda "the GPU"; else echo "no GPU: the CUDA plugins on the stand-in driver only"; fi
if [ -f "$WEIR_TEST_FAKECUDA/libcuda.so.1" ]; then
  export WEIR_CUDA_LIBRARY="$WEIR_TEST_FAKECUDA/libcuda.so.1"
  truth_cuda "the stand-in driver" --cases 4 -n 6
  unset WEIR_CUDA_LIBRARY
else
  echo "no stand-in driver: it was not built (no C++ compiler)"
fi

model=${WEIR_MODEL:-$abs_top_srcdir/model/gemma-3-270m-q4_k_m.gguf}
if [ ! -f "$model" ]; then
  echo "no $model: the random models only (./quickstart fetches it)"
elif [ "${WEIR_TRUTH:-}" = full ]; then
  options="--option=--cache --option=$work"
  # shellcheck disable=SC2086
  truth "the real model, cpu" --model "$model" --plugins cpu $options --long 600 --mutations
  # shellcheck disable=SC2086
  truth "the real model, ref" --model "$model" --plugins ref $options
  if has_gpu; then truth_cuda "the GPU, the real model" --model "$model" --long 600; fi
else
  truth "the real model, cpu" --model "$model" --plugins cpu --cases 1 -n 8
fi
exit $failed
