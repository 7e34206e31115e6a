#!/bin/sh
# SPDX-License-Identifier: MIT
# ptxas assembles every committed PTX for every architecture that weir names (a file for
# sm_90a for that one), without spills or a stack frame, and no kernel takes more
# registers than ptx/ceilings grants.
# (What a file comes to is judged on the architectures that it is loaded on: those of
# NAME.sm_80.ptx end where NAME.sm_90.ptx begins.)
# With the argument --table it prints what each kernel takes at most, and judges nothing.
set -u
: "${abs_top_srcdir:=..}"
LC_ALL=C
PATH=$PATH:/usr/local/cuda/bin
ptxas=${PTXAS:-ptxas}
ptx=$abs_top_srcdir/ptx
export LC_ALL

# One line for each kernel: kernel, registers, bytes of stack and spills, file, sm.
if [ "${1:-}" = --one ]; then
  path=$2 sm=$3
  file=${path##*/}
  log=$work/$file.$sm.log used=$work/$file.$sm.used
  "$ptxas" -v -arch="sm_$sm" -o /dev/null "$path" > "$log" 2>&1 || echo "FAILED: $file does not assemble for sm_$sm"
  # For sm_120 ptxas gives every kernel that copies a box of a tensor, however small, a frame of 8 bytes.
  own=0
  if [ "$sm" = 120 ] && grep -q 'cp\.async\.bulk\.tensor' "$path"; then own=8; fi
  awk -v what="$file sm_$sm" -v own="$own" '
    /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; memory = "?" }
    / bytes stack frame,/ { memory = ($1 == own ? 0 : $1) + $5 + $9 }
    /: Used [0-9]+ registers/ { sub(/^.*: Used /, ""); print kernel, $1, memory, what; kernel = memory = "?" }' "$log" > "$used"
  if [ "$(wc -l < "$used")" -ne "$(grep -c '\.entry' "$path")" ]; then
    echo "FAILED: ptxas tells of $(wc -l < "$used") of the $(grep -c '\.entry' "$path") kernels of $file for sm_$sm"
    head -n 5 "$log"
  fi
  # Where there is a newer file for this architecture, no device gets what this one comes to.
  newer=${path%.sm_*}.sm_90.ptx
  if [ "${sm%a}" -ge 90 ] && [ -f "$newer" ] && [ "$newer" != "$path" ]; then : > "$used"; fi
  exit 0
fi

command -v "$ptxas" > /dev/null || { echo "ptxas is missing (it is in the CUDA toolkit): nothing to assemble with"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-test-XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
export abs_top_srcdir work

"$ptxas" --help > "$work/help"
for file in "$ptx"/*.ptx "$abs_top_srcdir"/examples/gemma/*.ptx; do
  floor=${file##*.sm_} && floor=${floor%.ptx}
  for sm in 80 86 89 90 90a 100 120; do
    case $floor$sm in
      90a90a) ;;
      *a*) continue ;;
      *) [ "$sm" -ge "$floor" ] || continue ;;
    esac
    if grep -q "'sm_$sm'" "$work/help"; then
      echo "'$file' $sm"
    else
      echo "left out: $ptxas does not know sm_$sm" >> "$work/unknown"
    fi
  done
done > "$work/jobs"
[ ! -f "$work/unknown" ] || sort -u "$work/unknown"
xargs -P 2 -L 1 sh "$0" --one < "$work/jobs" > "$work/failures" || exit 99
cat "$work"/*.used > "$work/used"
if [ "${1:-}" = --table ]; then
  awk '{ if ($2 > most[$1]) most[$1] = $2 } END { for (kernel in most) print kernel, most[kernel] }' "$work/used" | sort
  exit 0
fi

while read -r pattern ceiling; do
  case $pattern in '' | '#'*) continue ;; esac
  matched=no
  while read -r kernel registers memory file sm; do
    # shellcheck disable=SC2254 # a pattern it is
    case $kernel in $pattern) ;; *) continue ;; esac
    matched=yes
    echo "$kernel" >> "$work/judged"
    [ "$registers" -le "$ceiling" ] || echo "FAILED: $kernel takes $registers registers on $sm, its ceiling is $ceiling ($file)"
    [ "$memory" = 0 ] || echo "FAILED: $kernel spills or has a stack frame on $sm: $memory bytes ($file)"
  done < "$work/used"
  [ $matched = yes ] || echo "FAILED: ptx/ceilings: no kernel is called $pattern"
done < "$ptx/ceilings" >> "$work/failures"
touch "$work/judged"
sort -u "$work/judged" > "$work/known"
cut -d ' ' -f 1 "$work/used" | sort -u | comm -23 - "$work/known" | sed 's/^/FAILED: ptx\/ceilings has no line for /' >> "$work/failures"
cat "$work/failures"
echo "$(wc -l < "$work/jobs") files assembled, $(wc -l < "$work/used") kernels measured"
[ -s "$work/used" ] && [ ! -s "$work/failures" ]
