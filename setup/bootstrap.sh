#!/bin/sh
# setup/bootstrap.sh [VENV]: makes the project's Python environment, with what requirements.txt pins, in the folder VENV
# (default: .venv of the checkout). It needs Python 3.11 or newer; as root on Debian it installs one if there is none.
# pip follows its own configuration (PIP_INDEX_URL, pip.conf), and takes only files whose sha256 is in requirements.txt.
# The file VENV/.requirements holds the checksum of the installed requirements.txt and the path of VENV, or the word
# `unfinished`.
set -eu
unset CDPATH PYTHONHOME PYTHONPATH
me=bootstrap
setup=$(cd "$(dirname "$0")" && pwd -P)
. "$setup/shell_common.sh"
requirements=$setup/../requirements.txt

main() {
  [ $# -le 1 ] || fail "one argument at most, not $#" "usage: setup/bootstrap.sh [VENV]"
  venv=$(whole_path "${1:-$setup/../.venv}")
  [ -r "$requirements" ] || fail "$requirements cannot be read" "run this from a complete checkout"
  # a venv contains its own path: after a move it must be made again
  wanted="$(sha256sum <"$requirements" | cut -c 1-64) $venv"
  is_complete && nothing_to_do
  one_at_a_time "$venv"
  is_complete && nothing_to_do
  if can_be_updated; then say "updating $venv"; else make_venv; fi
  mark unfinished
  say "installing $(grep -c == "$requirements") packages as requirements.txt pins them"
  install_requirements
  mark "$wanted"
  say "done: $venv, $("$venv/bin/python" --version)"
}

state() { cat "$venv/.requirements" 2>/dev/null || :; }

mark() {
  printf '%s\n' "$1" >"$venv/.requirements.part"
  mv "$venv/.requirements.part" "$venv/.requirements"
}

# .requirements alone is not enough: the Python that the venv links to may have been removed or replaced.
is_complete() { [ "$(state)" = "$wanted" ] && has_pip; }

has_pip() { "$venv/bin/python" -c 'import pip' 2>/dev/null; }

nothing_to_do() {
  say "complete in $venv: nothing to do"
  exit 0
}

# True for a complete venv, made by this script or by hand, with other requirements. Packages added to it stay.
can_be_updated() {
  case "$(state)" in
    unfinished) return 1 ;;
    "") [ -e "$venv/pyvenv.cfg" ] ;;
    *) [ "$(state | cut -c 66-)" = "$venv" ] ;;
  esac && recent_enough "$venv/bin/python" && has_pip
}

make_venv() {
  if [ -e "$venv" ] && [ -z "$(state)" ] && [ ! -e "$venv/pyvenv.cfg" ] && ! rmdir "$venv" 2>/dev/null; then
    fail "$venv exists already and is not a Python environment" "remove it, or name another VENV"
  fi
  choose_python
  [ ! -e "$venv" ] || say "replacing $venv: it is unfinished, was moved, or its Python is gone or too old"
  rm -rf "$venv"
  mkdir "$venv"
  mark unfinished
  say "making $venv with $("$python" --version)"
  if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    "$python" -m venv "$venv"
  else
    "$python" -m venv --without-pip "$venv"
    borrow_pip
  fi
}

recent_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Sets $python: 3.11 or newer, as Snakemake needs, with the module venv, which is a separate package on Debian.
choose_python() {
  have python3 || install_debian_packages python3 python3-venv
  python=
  for candidate in python3 python3.13 python3.12 python3.11; do
    recent_enough "$candidate" && python=$candidate && break
  done
  [ -n "$python" ] || fail "$(python3 --version) is too old: Python 3.11 or newer is needed" \
    "install one, so that python3.11, python3.12 or python3.13 is on the PATH, and call again"
  if ! "$python" -c 'import venv, ensurepip' 2>/dev/null && is_root && have apt-get; then
    install_debian_packages python3-venv
  fi
  "$python" -c 'import venv' 2>/dev/null || ask_administrator "$python has no module venv" python3 python3-venv
}

is_root() { [ "$(id -u)" = 0 ]; }

ask_administrator() {
  what=$1
  shift
  fail "$what, and $(id -un) may not install it" "ask the administrator for: apt-get install $*"
}

# Tries the machine's package lists first. They may be empty or out of date: then it updates them and tries again.
install_debian_packages() {
  is_root && have apt-get || ask_administrator "Python is missing" "$@"
  # https needs it
  [ -e /etc/ssl/certs/ca-certificates.crt ] || set -- "$@" ca-certificates
  say "installing Debian's packages: $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -y --no-install-recommends install "$@" >/dev/null 2>&1 || {
    quietly "no update of Debian's lists" apt-get -qq update
    quietly "no installation of $*" apt-get -qq -y --no-install-recommends install "$@"
  }
}

# Without root, where Debian's Python has no ensurepip: takes pip from the package that python3-venv depends on.
borrow_pip() {
  say "taking pip from Debian's package python3-pip-whl"
  sh "$setup/get_deb.sh" python3-pip-whl "$venv/.debian/pip" || ask_administrator "$python has no pip" python3-venv
  wheel=$(ls "$venv"/.debian/pip/usr/share/python-wheels/pip-*.whl)
  "$venv/bin/python" "$wheel/pip" --isolated -q install --no-index --no-deps "$wheel"
  rm -rf "$venv/.debian"
}

install_requirements() {
  quiet=-q
  [ ! -t 1 ] || quiet=
  # pip refuses `user = true` of a user's pip.conf in a venv
  PIP_USER=0 "$venv/bin/python" -m pip install $quiet --no-input --use-pep517 --disable-pip-version-check \
    --require-hashes -r "$requirements" ||
    fail "pip could not install what requirements.txt names" "read pip's message above, check the network" \
      "(a mirror or proxy goes into pip's configuration: pip config, PIP_INDEX_URL), and call again"
}

main "$@"
