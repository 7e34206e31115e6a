#!/bin/sh
# SPDX-License-Identifier: MIT
#
# usage: generate.sh [OUTDIR [NAME...]]
# Compiles every NAME.sm_NN.ptx that the Makefile.am beside it lists (or those named) from
# NAME.cu into OUTDIR (default: beside the sources, in ptx and examples/gemma), and writes
# the release of nvcc to OUTDIR/TOOLKIT (default: ptx/TOOLKIT).
#
# What nvcc tells about itself is left out. Each file gets the lowest .version that
# assembles, and to the same code, because a driver refuses versions newer than itself.
#
# NVCC and PTXAS name the tools where they are not in PATH or the usual place.
set -eu
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/local/cuda/bin
nvcc=${NVCC:-nvcc} ptxas=${PTXAS:-ptxas}
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:+$(mkdir -p "$1" && cd "$1" && pwd)}
[ $# -eq 0 ] || shift
for tool in "$nvcc" "$ptxas"; do
  command -v "$tool" > /dev/null || { echo "generate.sh: $tool is missing; install the CUDA toolkit, or set NVCC and PTXAS" >&2; exit 1; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-ptx-XXXXXX")
trap 'rm -rf "$work"' EXIT

# Comments, blank lines and the blanks that align columns go. So does used_bytes_mask
# on loads of parameters: it tells checkers which bytes matter, and needs .version 8.3.
tidy() { # DIRECTORY/NAME
  echo "// SPDX-License-Identifier: MIT"
  echo "// Generated from $1.cu by ptx/generate.sh."
  sed -E -e 's|[[:blank:]]*//.*||' -e 's/^[[:blank:]]+/\t/' -e 's/([^[:blank:]])[[:blank:]]+/\1 /g' -e 's/[[:blank:]]+$//' \
    -e 's/_ZZ[0-9]+([a-z_]+)ILi([0-9]+)EEPjvE6memory/\1_\2/g' |
    awk '
      /^[[:blank:]]*$/ { next }
      held != "" { if ($1 !~ /^ld\.param/) print held; held = "" }
      /^\t\.pragma "used_bytes_mask/ { held = $0; next }
      { print }'
}
version_of() { sed -n 's/^\.version //p' "$1"; }
with_version() { sed "s/^\.version .*/.version $2/" "$1"; }

generate() { # DIRECTORY/NAME ARCHITECTURE
  file=${1##*/}.sm_$2.ptx
  to=${out:-$root/${1%/*}}
  # From within the directory, so that no path gets into the file.
  (cd "$root/${1%/*}" && "$nvcc" -ptx -arch="compute_$2" -O3 -std=c++17 -I"$root/ptx" -o "$work/compiled" "${1##*/}.cu")
  tidy "$1" < "$work/compiled" > "$work/tidy"
  if sed 1,2d "$work/tidy" | grep -E '_INTERNAL_|/[a-z]+/' >&2; then
    echo "generate.sh: $file would depend on the machine that it was made on" >&2
    exit 1
  fi
  "$ptxas" -arch="sm_$2" -o "$work/wanted" "$work/tidy"
  newest=$(version_of "$work/tidy")
  for version in 7.0 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8 8.0 8.1 8.2 8.3 8.4 8.5 8.6 8.7 8.8 "$newest"; do
    with_version "$work/tidy" "$version" > "$work/lowered"
    if "$ptxas" -arch="sm_$2" -o "$work/got" "$work/lowered" > "$work/log" 2>&1 && cmp -s "$work/wanted" "$work/got"; then
      break
    fi
    [ "$version" != "$newest" ] || { cat "$work/log" >&2; exit 1; }
  done
  cp "$work/lowered" "$to/$file"
  echo "$file: .version $version, $(wc -c < "$to/$file") bytes"
}

list=$(sed -n 's|^[[:blank:]]\([a-z/]*/[^/]*\)\.sm_\([0-9]*a\{0,1\}\)\.ptx.*|\1 \2|p' "$root/ptx/Makefile.am" "$root/examples/gemma/Makefile.am")
[ $# -eq 0 ] || list=$(for name; do echo "$list" | grep "/$name "; done)
[ -n "$list" ] || { echo "generate.sh: no Makefile.am lists the PTX that is asked for" >&2; exit 1; }
echo "$list" | while read -r name architecture; do
  generate "$name" "$architecture"
done
"$nvcc" --version | sed -n 's/^.*, V\([0-9.]*\)$/\1/p' > "${out:-$root/ptx}/TOOLKIT"
