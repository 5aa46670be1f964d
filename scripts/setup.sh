#!/usr/bin/env bash
# Brings in what the build needs: system packages, then a virtual environment
# with MLX's wheel. Safe to run again; does nothing where nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

debian() {
  local missing=()
  while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done <scripts/debian-packages.txt
  [ ${#missing[@]} -gt 0 ] || return 0

  local sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "[setup] expected these packages; install them, then run make again:" >&2
      echo "  sudo apt-get install -y ${missing[*]}" >&2
      exit 2
    fi
    sudo="sudo"
  fi
  echo "[setup] installing ${missing[*]}"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "${missing[@]}" >/dev/null
}

homebrew() {
  command -v brew >/dev/null || {
    echo "[setup] expected Homebrew (https://brew.sh); then run make again" >&2
    exit 2
  }
  brew bundle --quiet --file=scripts/Brewfile
}

case "$(uname -s)" in
  Darwin) homebrew ;;
  *)
    command -v apt-get >/dev/null || {
      echo "[setup] expected a Debian-like system; install the equivalents of scripts/debian-packages.txt" >&2
      exit 2
    }
    debian
    ;;
esac

# The stamp holds what was installed, so that a changed list installs again.
stamp=.venv/requirements.txt
if ! cmp -s scripts/requirements.txt "$stamp"; then
  echo "[setup] installing MLX and what the tests need into .venv"
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
  cp scripts/requirements.txt "$stamp"
fi
