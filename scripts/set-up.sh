# Sourced by quick-deploy.sh and test.sh: everything they need, in .venv, from the lock files.
# The second time it compares one checksum and is done.
# shellcheck shell=bash

missing() {
  echo "set-up: $1" >&2
  echo "  -> $2" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  missing "Python 3.11 or newer is missing" "on Debian or Ubuntu: apt-get install python3 python3-venv"
}

# need COMMAND PACKAGE: a Debian package that the tests use; installed when we may.
need() {
  command -v "$1" >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "set-up: installing $2" >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2"; } >/dev/null ||
      missing "apt-get could not install $2" "install it by hand, then run this again"
  else
    missing "$1 is missing" "on Debian or Ubuntu: sudo apt-get install $2"
  fi
}

# set_up LOCK: .venv with the packages of LOCK and this project.
set_up() {
  local lock=$1 python wanted
  case "$(uname -s)" in
    Linux | Darwin) ;;
    *) missing "the one-machine target needs Linux or macOS, this is $(uname -s)" "use WSL on Windows" ;;
  esac
  python=$(find_python) || exit 1
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    missing "Python's venv module is missing" "on Debian or Ubuntu: apt-get install python3-venv"
  wanted=$(cat "$lock" pyproject.toml | "$python" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest(), sys.version_info[:2])')
  if [ "$(cat ".venv/.set-up-$lock" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  echo "set-up: installing the packages of $lock into .venv" >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --require-hashes -r "$lock" ||
    missing "pip could not install the packages of $lock" "is the package index reachable? then run this again"
  .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
  rm -f .venv/.set-up-*
  echo "$wanted" >".venv/.set-up-$lock"
}
