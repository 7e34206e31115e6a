# SPDX-License-Identifier: MIT
# python_with MODULE: a python3 that has it.
python_with() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -c "import $1" 2> /dev/null && { echo "$python"; return 0; }
  done
  return 1
}

# need PACKAGE[:WHAT]...: installs with apt the Debian packages whose WHAT (a
# command, a header when it ends in .h, or python3's numpy; default: the package's name) is missing.
need() {
  local missing="" item package what sudo=""
  for item in "$@"; do
    package=${item%%:*} what=${item#*:}
    case $what in
      *.h) printf '#include <%s>\n' "$what" | cc -E - > /dev/null 2>&1 || missing="$missing $package" ;;
      numpy) python_with numpy > /dev/null || missing="$missing $package" ;;
      libtool) command -v libtoolize > /dev/null || missing="$missing $package" ;;
      *) command -v "$what" > /dev/null || missing="$missing $package" ;;
    esac
  done
  [ -n "$missing" ] || return 0
  echo "installing with apt-get:$missing"
  command -v apt-get > /dev/null || { echo "apt-get is missing here; install these yourself:$missing" >&2; return 1; }
  if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
  $sudo apt-get update -q > /dev/null
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q $missing > /dev/null ||
    { echo "apt-get could not install:$missing" >&2; return 1; }
}
