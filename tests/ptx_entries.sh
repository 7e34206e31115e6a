#!/bin/sh
# SPDX-License-Identifier: MIT
# The committed PTX against the list of it: every source has its sm_80 file, or is for
# sm_90a alone, and no file lacks its source; each is for the target in its name; an entry
# is in one source only, and the files of one source have the same entries with the same
# parameters.
set -u
: "${abs_top_srcdir:?names the source directory}"
LC_ALL=C
export LC_ALL
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
  echo "FAILED: $*"
  failed=1
}
for directory in ptx examples/gemma; do
  (cd "$abs_top_srcdir" && ls $directory/*.ptx) > "$work/here"
  sed -n "s|^[[:blank:]]\\($directory/.*\\.ptx\\).*|\\1|p" "$abs_top_srcdir/$directory/Makefile.am" > "$work/listed"
  sort "$work/listed" | diff "$work/here" - > "$work/diff" || {
    fail "the files in $directory (<) and those listed in $directory/Makefile.am (>) differ:"
    cat "$work/diff"
  }
  for source in "$abs_top_srcdir/$directory"/*.cu; do
    name=$directory/${source##*/}
    grep -q "$name" "$abs_top_srcdir/$directory/Makefile.am" || fail "$directory/Makefile.am does not list $name"
    grep -qx -e "${name%.cu}.sm_80.ptx" -e "${name%.cu}.sm_90a.ptx" "$work/here" || fail "$name has no sm_80 PTX; list it in $directory/Makefile.am and run make ptx"
  done
  cat "$work/here" >> "$work/present"
done

# Name, parameters and launch bounds of each entry on one line.
entries() {
  awk '/^\.visible \.entry / { sub(/^.* /, ""); entry = ""; inside = 1 }
       inside && /^{/ { print entry; inside = 0 }
       inside { entry = entry $0 " " }' "$1" | tr '\t(' '  ' | sort
}
: > "$work/all"
while read -r path; do
  file=${path##*/}
  name=${file%.sm_*.ptx} target=${file#*.} && target=${target%.ptx}
  [ -f "$abs_top_srcdir/${path%/*}/$name.cu" ] || fail "$path has no source $name.cu"
  grep -qx "\.target $target" "$abs_top_srcdir/$path" || fail "$path is not for $target"
  [ "$(head -n 1 "$abs_top_srcdir/$path")" = "// SPDX-License-Identifier: MIT" ] || fail "$path has no licence on top"
  entries "$abs_top_srcdir/$path" > "$work/$file"
  [ -s "$work/$file" ] || fail "$path has no entry"
  if [ "$target" = sm_80 ] || [ "$target" = sm_90a ]; then
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
