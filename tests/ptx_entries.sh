#!/bin/sh
# SPDX-License-Identifier: MIT
# The committed PTX against the list of it: every source has its sm_80 file and no file
# lacks its source; each is for the target in its name; an entry is in one source only,
# and the files of one source have the same entries with the same parameters.
set -u
: "${abs_top_srcdir:?names the source directory}"
LC_ALL=C
export LC_ALL
ptx=$abs_top_srcdir/ptx
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
  echo "FAILED: $*"
  failed=1
}
(cd "$ptx" && ls ./*.ptx) | sed 's|^\./||' > "$work/present"
sed -n 's|^[[:blank:]]ptx/\(.*\.ptx\).*|\1|p' "$ptx/Makefile.am" > "$work/listed"
sort "$work/listed" | diff "$work/present" - > "$work/diff" || {
  fail "the files in ptx/ (<) and those listed in ptx/Makefile.am (>) differ:"
  cat "$work/diff"
}
for source in "$ptx"/*.cu; do
  name=${source##*/}
  grep -q "ptx/$name" "$ptx/Makefile.am" || fail "ptx/Makefile.am does not list $name"
  grep -qx "${name%.cu}.sm_80.ptx" "$work/present" || fail "$name has no sm_80 PTX; list it in ptx/Makefile.am and run make ptx"
done

# Name, parameters and launch bounds of each entry on one line.
entries() {
  awk '/^\.visible \.entry / { sub(/^.* /, ""); entry = ""; inside = 1 }
       inside && /^{/ { print entry; inside = 0 }
       inside { entry = entry $0 " " }' "$1" | tr '\t(' '  ' | sort
}
: > "$work/all"
while read -r file; do
  name=${file%.sm_*.ptx} target=${file#*.} && target=${target%.ptx}
  [ -f "$ptx/$name.cu" ] || fail "$file has no source $name.cu"
  grep -qx "\.target $target" "$ptx/$file" || fail "$file is not for $target"
  [ "$(head -n 1 "$ptx/$file")" = "// SPDX-License-Identifier: MIT" ] || fail "$file has no licence on top"
  entries "$ptx/$file" > "$work/$file"
  [ -s "$work/$file" ] || fail "$file has no entry"
  if [ "$target" = sm_80 ]; then
    cat "$work/$file" >> "$work/all"
  elif ! diff "$work/$name.sm_80.ptx" "$work/$file" > "$work/diff"; then
    fail "the entries of $name for sm_80 (<) and $target (>) differ:"
    cat "$work/diff"
  fi
done < "$work/present"
cut -d ' ' -f 1 "$work/all" | sort | uniq -d > "$work/twice"
[ ! -s "$work/twice" ] || fail "entries of more than one file: $(tr '\n' ' ' < "$work/twice")"
echo "$(wc -l < "$work/present") files, $(wc -l < "$work/all") entries"
exit $failed
