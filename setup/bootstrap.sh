#!/bin/sh
# setup/bootstrap.sh [VENV]: the project's Python environment, with what requirements.txt pins, in the folder VENV, which
# is .venv of the checkout where none is named. Needs a python3 of 3.11 or newer; as root on Debian, not even that.
# pip follows its own configuration (PIP_INDEX_URL, pip.conf). VENV/.requirements tells what is installed, or `unfinished`.
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
  # a venv knows its own path: one that was moved is out of date
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

# The stamp alone would not do: Python may have gone, or moved on to another version, beneath the venv.
is_complete() { [ "$(state)" = "$wanted" ] && has_pip; }

has_pip() { "$venv/bin/python" -c 'import pip' 2>/dev/null; }

nothing_to_do() {
  say "complete in $venv: nothing to do"
  exit 0
}

# A finished venv, by this script or by hand, whose requirements changed: keeps what was installed besides.
can_be_updated() {
  case "$(state)" in
    unfinished) return 1 ;;
    "") [ -e "$venv/pyvenv.cfg" ] ;;
    *) [ "$(state | cut -c 66-)" = "$venv" ] ;;
  esac && recent_enough "$venv/bin/python" && has_pip
}

make_venv() {
  if [ -e "$venv" ] && [ -z "$(state)" ] && [ ! -e "$venv/pyvenv.cfg" ] && ! rmdir "$venv" 2>/dev/null; then
    fail "$venv is there already and is no Python environment" "remove it, or name another VENV"
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

# $python: one of 3.11 or newer (Snakemake needs that) with the module venv. Debian has it in a package of its own.
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

# With the lists that the machine has; they may be empty, or older than the mirror, so once more with new ones.
install_debian_packages() {
  is_root && have apt-get || ask_administrator "Python is missing" "$@"
  # without it no https
  [ -e /etc/ssl/certs/ca-certificates.crt ] || set -- "$@" ca-certificates
  say "installing Debian's packages: $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -y --no-install-recommends install "$@" >/dev/null 2>&1 || {
    quietly "no update of Debian's lists" apt-get -qq update
    quietly "no installation of $*" apt-get -qq -y --no-install-recommends install "$@"
  }
}

# pip without root, where Debian keeps it apart: from the package that its python3-venv takes it from.
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
  # a user's `user = true` in pip.conf would be refused in a venv
  PIP_USER=0 "$venv/bin/python" -m pip install $quiet --no-input --use-pep517 --disable-pip-version-check -r "$requirements" ||
    fail "pip could not install what requirements.txt names" "see that the network is up, and pip's own words above" \
      "(a mirror or proxy goes into pip's configuration: pip config, PIP_INDEX_URL), and call again"
}

main "$@"
