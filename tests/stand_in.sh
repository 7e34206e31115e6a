# SPDX-License-Identifier: MIT
# Sourced by the scripts that run weir verify on the stand-in driver.
: "${abs_top_builddir:?names the build directory}" "${WEIR_TEST_FAKECUDA:?names the directory of the stand-in driver}"
: "${WEIR_TEST_PLUGINS:?names the directory of the plugins}" "${WEIR_TEST_PTX:?names the directory of the PTX}"
[ -f "$WEIR_TEST_FAKECUDA/libcuda.so.1" ] || { echo "skipped: the stand-in driver was not built (no C++ compiler)"; exit 77; }
unset WEIR_PLUGINS WEIR_LOG WEIR_THREADS
WEIR_PLUGIN_PATH=$WEIR_TEST_PLUGINS
WEIR_PTX_PATH=$WEIR_TEST_PTX
WEIR_CUDA_LIBRARY=$WEIR_TEST_FAKECUDA/libcuda.so.1
export WEIR_PLUGIN_PATH WEIR_PTX_PATH WEIR_CUDA_LIBRARY
weir=$abs_top_builddir/tools/weir
# A sanitizer makes everything five times as slow: what may then be left to a shorter selection.
whole="" quick=--quick
! grep -q '^CFLAGS = .*-fsanitize=' "$abs_top_builddir/Makefile" || { whole=--quick quick=--tiny; }
run() { # VARIABLE=VALUE... -- VERIFY-ARGUMENTS
  settings=""
  while [ "$1" != -- ]; do settings="$settings $1"; shift; done
  shift
  echo "$settings weir verify --device cuda:0 $*"
  # shellcheck disable=SC2086
  env $settings "$weir" verify --device cuda:0 "$@" || { echo "FAILED"; exit 1; }
}
