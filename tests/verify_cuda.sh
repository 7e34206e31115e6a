#!/bin/sh
# SPDX-License-Identifier: MIT
# The CUDA plugins through the whole conformance suite on the stand-in driver: plain, in
# a captured graph replayed with changed inputs, with blocks in random order and
# interleaved, on the oldest device served, and both plugins bit for bit alike.
set -u
: "${abs_top_builddir:?names the build directory}" "${WEIR_TEST_FAKECUDA:?names the directory of the stand-in driver}"
: "${WEIR_TEST_PLUGINS:?names the directory of the plugins}" "${WEIR_TEST_PTX:?names the directory of the PTX}"
[ -f "$WEIR_TEST_FAKECUDA/libcuda.so.1" ] || { echo "skipped: the stand-in driver was not built (no C++ compiler)"; exit 77; }
unset WEIR_PLUGINS WEIR_LOG WEIR_THREADS
WEIR_PLUGIN_PATH=$WEIR_TEST_PLUGINS
WEIR_PTX_PATH=$WEIR_TEST_PTX
WEIR_CUDA_LIBRARY=$WEIR_TEST_FAKECUDA/libcuda.so.1
export WEIR_PLUGIN_PATH WEIR_PTX_PATH WEIR_CUDA_LIBRARY
weir=$abs_top_builddir/tools/weir
run() { # VARIABLE=VALUE... -- VERIFY-ARGUMENTS
  settings=""
  while [ "$1" != -- ]; do settings="$settings $1"; shift; done
  shift
  echo "$settings weir verify --device cuda:0 $*"
  # shellcheck disable=SC2086
  env $settings "$weir" verify --device cuda:0 "$@" || { echo "FAILED"; exit 1; }
}
run -- --plugin cuda-dp4a --bit-identical cuda-dp4a-scalar
run -- --plugin cuda-dp4a --graph --quick
run -- --plugin cuda-dp4a-scalar
run -- --plugin cuda-dp4a-scalar --graph --quick
run FAKECUDA_DEVICES=sm=80,sms=16 FAKECUDA_SHUFFLE=3 FAKECUDA_RESIDENT=4 -- --plugin cuda-dp4a --quick --seed 2
run FAKECUDA_DEVICES=sm=120,sms=170 -- --plugin cuda-dp4a-scalar --quick --seed 3
exit 0
