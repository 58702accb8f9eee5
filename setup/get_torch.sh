#!/bin/sh
# setup/get_torch.sh PYTHON: installs PyTorch, in the build that fits the machine, into PYTHON's environment.
# TORCH names another version (`TORCH=torch==2.14.1`). pip follows its own configuration (PIP_INDEX_URL,
# PIP_EXTRA_INDEX_URL).
set -eu
me=get_torch
setup=$(cd "$(dirname "$0")" && pwd -P)
. "$setup/shell_common.sh"
version=torch==2.13.0

main() {
  [ $# -eq 1 ] || fail "one argument, not $#" "usage: setup/get_torch.sh PYTHON"
  python=$1
  [ -z "${TORCH:-}" ] && "$python" -c 'import torch' 2>/dev/null && exit 0
  if [ -n "${TORCH:-}" ]; then
    install "$TORCH" || give_up "$TORCH"
  elif has_gpu; then
    say "there is an NVIDIA GPU: installing $version, which on Linux is PyTorch's build for CUDA"
    install "$version" || give_up "$version"
  else
    say "no NVIDIA GPU: installing $version+cpu"
    install "$version+cpu" 2>/dev/null || {
      say "pip's index has no such build (PyTorch's own index has them: set PIP_EXTRA_INDEX_URL)"
      say "installing $version instead, which runs on the CPU too, and may be several GB"
      install "$version" || give_up "$version"
    }
  fi
}

has_gpu() { have nvidia-smi && nvidia-smi -L 2>/dev/null | grep -q GPU; }

install() { PIP_USER=0 "$python" -m pip install -q --no-input --disable-pip-version-check "$1"; }

give_up() { fail "pip could not install $1" "read pip's message above; for another version set TORCH and call again"; }

main "$@"
