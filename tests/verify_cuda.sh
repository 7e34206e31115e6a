#!/bin/sh
# SPDX-License-Identifier: MIT
# The CUDA matvecs through the whole conformance suite on the stand-in driver: plain, in
# a captured graph replayed with changed inputs, with blocks in random order and
# interleaved, on the oldest device served, and both plugins bit for bit alike: that has
# every case of both, so under a sanitizer the second has the short selection by itself.
set -u
: "${abs_top_srcdir:?names the source directory}"
. "$abs_top_srcdir/tests/stand_in.sh"
run -- --plugin cuda-dp4a --bit-identical cuda-dp4a-scalar
run -- --plugin cuda-dp4a --graph $quick
# shellcheck disable=SC2086
run -- --plugin cuda-dp4a-scalar $whole
run -- --plugin cuda-dp4a-scalar --graph $quick
run FAKECUDA_DEVICES=sm=80,sms=16 FAKECUDA_SHUFFLE=3 FAKECUDA_RESIDENT=4 -- --plugin cuda-dp4a --quick --seed 2
run FAKECUDA_DEVICES=sm=120,sms=170 -- --plugin cuda-dp4a-scalar --quick --seed 3
exit 0
