#!/bin/sh
# SPDX-License-Identifier: MIT
# A program with the setgid bit must not load code that its caller names: the
# variables are ignored, and one line of the log says so.
#
# Takes abs_top_builddir and WEIR_TEST_BADPLUGINS, and WEIR_TEST_SETGID_PROBE if the
# probe is elsewhere. The probe must be a real executable that finds libweir by itself
# (libtool: -no-install). As root it runs the copy as nobody; else it needs a second group.
set -u
skip() {
  echo "skipped: $*"
  exit 77
}
probe=${WEIR_TEST_SETGID_PROBE:-${abs_top_builddir:-.}/tests/setgid_probe}
[ -x "$probe" ] || skip "$probe is no program"
if head -c 2 "$probe" | grep -q '#!'; then
  echo "FAILED: $probe is a script of libtool; link it with -no-install"
  exit 1
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$WEIR_TEST_BADPLUGINS/tied_a.so" "$work/named.so" || exit 99
cp "$probe" "$work/plain" || exit 99
cp "$probe" "$work/setgid" || exit 99
chmod 755 "$work/plain" "$work/named.so"

if [ "$(id -u)" = 0 ]; then
  command -v setpriv >/dev/null 2>&1 || skip "root without setpriv"
  user=65534 group=65533
  run() {
    setpriv --reuid=$user --regid=$user --clear-groups "$@"
  }
else
  group=
  for one in $(id -G); do
    [ "$one" = "$(id -g)" ] || group=$one
  done
  [ -n "$group" ] || skip "user $(id -un) has no second group"
  run() {
    "$@"
  }
fi
chgrp "$group" "$work/setgid" || skip "the copy cannot be given to group $group"
chmod 2755 "$work/setgid" || skip "the setgid bit cannot be set"

WEIR_PLUGIN_PATH=$work/named.so
export WEIR_PLUGIN_PATH
unset WEIR_PLUGINS WEIR_LOG WEIR_PTX_PATH WEIR_CUDA_LIBRARY WEIR_WRAP WEIR_THREADS
run "$work/plain" >"$work/plain.out" 2>&1 || skip "the copy does not run: $(cat "$work/plain.out")"
run "$work/setgid" >"$work/setgid.out" 2>&1
status=$?

fail() {
  echo "FAILED: $*"
  echo "plain:"
  sed 's/^/  /' "$work/plain.out"
  echo "setgid:"
  sed 's/^/  /' "$work/setgid.out"
  exit 1
}
grep -q '^secure 1$' "$work/setgid.out" || skip "the kernel ignored the setgid bit (nosuid?): $(cat "$work/setgid.out")"
[ $status = 0 ] || fail "the setgid copy ended with $status"
grep -q '^secure 0$' "$work/plain.out" || fail "the plain copy is privileged"
grep -qF "plugin admitted $work/named.so" "$work/plain.out" || fail "the plain copy does not use WEIR_PLUGIN_PATH"
grep -q '^log .*WEIR_PLUGIN_PATH' "$work/plain.out" && fail "the plain copy reports a variable that it used"
grep '^plugin' "$work/setgid.out" | grep -qF named.so && fail "the setgid copy loaded what its caller named"
count=$(grep -c '^log .*WEIR_PLUGIN_PATH' "$work/setgid.out")
[ "$count" = 1 ] || fail "$count log lines name the ignored variable, not one"
grep -q '^log .*WEIR_PLUGIN_PATH.*\(ignor\|set[ug]id\|privilege\)' "$work/setgid.out" ||
  fail "the line does not say why"
exit 0
