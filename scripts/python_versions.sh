#!/usr/bin/env bash
# Builds the package for each Python given, and tests it in an environment of its own:
#   scripts/python_versions.sh python3.10 python3.12 python3.13
set -euo pipefail
cd "$(dirname "$0")/.."

for python in "$@"; do
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  folder=build/python-$version
  "$python" -m venv "$folder/env"
  inside="$folder/env/bin/python"
  "$inside" -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
  "$inside" -m pip install --quiet --disable-pip-version-check \
    --force-reinstall --no-deps --no-build-isolation --config-settings=build-dir="$folder/cmake" \
    --config-settings=cmake.define.CMAKE_CXX_COMPILER_LAUNCHER=ccache .
  echo "Python $version"
  "$inside" -m pytest
done
