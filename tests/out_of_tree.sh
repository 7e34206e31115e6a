#!/bin/sh
# SPDX-License-Identifier: MIT
# Two plugins outside the tree, built with Autotools from the installed files alone:
# the example, and a copy of the cpu plugin under another name, which is then found
# through WEIR_PLUGIN_PATH, listed, verified and raced against the installed one.
#
# Takes abs_top_builddir, abs_top_srcdir, MAKE.
set -u
: "${MAKE:=make}" "${abs_top_builddir:?names the build directory}" "${abs_top_srcdir:?names the source directory}"
for tool in autoreconf libtoolize pkg-config; do
  command -v $tool > /dev/null || { echo "skipped: no $tool"; exit 77; }
done
case "${CFLAGS:-} $(sed -n 's/^CFLAGS = //p' "$abs_top_builddir/Makefile")" in
  *-fsanitize*) echo "skipped: the installed library wants a sanitizer's runtime"; exit 77 ;;
esac
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
fail() {
  echo "FAILED: $*"
  [ -f "$work/log" ] && tail -n 30 "$work/log"
  exit 1
}
try() { "$@" > "$work/log" 2>&1 || fail "$*"; }

MAKEFLAGS= MAKELEVEL=
root=$work/root
try $MAKE -C "$abs_top_builddir" install DESTDIR="$root"
pc=$(find "$root" -name weir.pc)
PKG_CONFIG_LIBDIR=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
unset PKG_CONFIG_PATH WEIR_PLUGINS WEIR_PLUGIN_PATH WEIR_LOG
libdir=$(dirname "$(find "$root" -name 'libweir.so' | head -n 1)")
LD_LIBRARY_PATH=$libdir
export LD_LIBRARY_PATH
weir=$(find "$root" -name weir -type f -perm -u+x | head -n 1)
macros=$(dirname "$(find "$root" -name weir_plugin.m4)")

build() { # DIRECTORY
  (cd "$1" && chmod -R u+w . && try autoreconf -fi -I "$macros" && try ./configure && try $MAKE) || exit 1
}
cp -R "$abs_top_srcdir/examples/plugin" "$work/plain"
build "$work/plain"
plain=$work/plain/.libs/plain.so

mkdir "$work/copy"
cp "$abs_top_srcdir"/plugins/cpu/*.[ch] "$abs_top_srcdir/examples/plugin/configure.ac" "$work/copy"
{
  echo "AM_CFLAGS = \$(WEIR_CFLAGS) -DWEIR_PLUGIN_NAME='\"cpu-copy\"'"
  echo "weirplugin_LTLIBRARIES = copy.la"
  echo "copy_la_SOURCES = $(cd "$work/copy" && echo *.c *.h)"
  echo "copy_la_LDFLAGS = \$(WEIR_PLUGIN_LDFLAGS)"
  echo "copy_la_LIBADD = -lm"
} > "$work/copy/Makefile.am"
build "$work/copy"
copy=$work/copy/.libs/copy.so

# The example is held to what it says it takes; the copy to all that cpu does.
installed=$(find "$root" -type d -name weir -path '*lib*' | head -n 1)
WEIR_PLUGIN_PATH=$plain:$copy:$installed
export WEIR_PLUGIN_PATH
try "$weir" list
for name in plain cpu-copy cpu ref; do grep -q "^$name " "$work/log" || fail "weir list does not show $name"; done
try "$weir" verify --plugin cpu-copy --quick
grep -q " 0 failed" "$work/log" || fail "cpu-copy was not verified"
try "$weir" bench --shape 512,512 --op int8 --plugin cpu-copy --vs cpu --time 0.2
grep -q "cpu-copy" "$work/log" || fail "the race does not name cpu-copy"
WEIR_PLUGINS=int4_matvec=nosuch
export WEIR_PLUGINS
"$weir" bench --shape 512,512 --op int4 > "$work/log" 2>&1 && fail "a plugin that does not exist was accepted"
grep -q "nosuch" "$work/log" || fail "the sentence does not name the missing plugin"
exit 0
