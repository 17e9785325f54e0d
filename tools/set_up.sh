#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   tools/set_up.sh FOLDER PYTHON_VERSIONS PIP_ARGUMENTS...
#
# Makes the virtual environment FOLDER, with the first of PYTHON_VERSIONS that this machine has, and installs into it.
# Does nothing when that was done before and pyproject.toml has not changed since. For example:
#
#   tools/set_up.sh .venv "3.11 3.13" -e '.[dev]'
#
# On Debian and Ubuntu the system libraries that Blender's Python module needs are installed too, when they are
# missing and we may (root, or sudo without a password); and g++ for '.[dev]'.
set -euo pipefail

folder=$1
versions=$2
shift 2

libraries=(libegl1 libgl1 libgl1-mesa-dri libxi6 libxxf86vm1 libxfixes3 libxrender1 libsm6 libxkbcommon0)
apt_lists_are_fresh=no

say() { printf 'set up: %s\n' "$*" >&2; }

apt_install() {
  local run=()
  command -v apt-get >/dev/null || return 1
  if [[ $EUID -ne 0 ]]; then
    sudo -n true 2>/dev/null || return 1
    run=(sudo)
  fi
  local get=("${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  if [[ $apt_lists_are_fresh == no ]]; then
    "${get[@]}" update >&2
    apt_lists_are_fresh=yes
  fi
  "${get[@]}" install -y --no-install-recommends "$@" >&2
}

install_libraries() {
  local missing=() library
  if ! command -v dpkg-query >/dev/null; then
    say "not Debian: if bpy does not load, install the X and GL libraries it names"
    return
  fi
  for library in "${libraries[@]}"; do
    [[ $(dpkg-query -W -f='${db:Status-Status} ' "$library" 2>/dev/null || true) == *installed* ]] || missing+=("$library")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing ${missing[*]}"
  apt_install "${missing[@]}" || say "could not; if bpy does not load: apt-get install ${missing[*]}"
}

# the tests build the CUDA kernels for the CPU
install_compiler() {
  [[ $* == *'[dev]'* ]] && ! command -v g++ >/dev/null || return 0
  say "installing g++"
  apt_install g++ || say "could not; the tests of the CUDA kernels need a C++ compiler called g++"
}

# prints the path of a Python of that version which can make virtual environments
find_python() {
  local version=$1 candidate
  for candidate in "$(command -v "python$version" || true)" \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python \
    "$(command -v uv >/dev/null && uv python find "$version" 2>/dev/null || true)"; do
    if [[ -x $candidate ]] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

find_or_install_python() {
  local version
  for version in $versions; do find_python "$version" && return; done
  for version in $versions; do
    say "no Python $version here; asking the system's packages for one"
    if apt_install "python$version-venv"; then find_python "$version" && return; fi
  done
  say "no Python of version ${versions// / or } was found: install one (for example with pyenv or uv) and run this again"
  return 1
}

stamp=$folder/.ready-$({ cat pyproject.toml; printf '%s\n' "$@"; } | sha256sum | cut -c1-16)
[[ ! -e $stamp ]] || exit 0

install_libraries
install_compiler "$@"
if [[ ! -x $folder/bin/python ]]; then
  python=$(find_or_install_python)
  say "$folder with $("$python" --version)"
  "$python" -m venv "$folder"
fi
say "pip install $*"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
touch "$stamp"
