#!/usr/bin/env bash
# One LoRA step of TinyLlama-1.1B's and Qwen2.5-0.5B's real configurations with
# random weights, against transformers and peft. Takes minutes, 12 GiB of memory,
# 8 GiB of disk and, the first time, some GiB of Python packages.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=build/golden/bin/python
if ! cmp -s scripts/golden/requirements.txt build/golden/requirements.txt; then
  python3 -m venv build/golden
  $python -m pip install --quiet --disable-pip-version-check -r scripts/golden/requirements.txt
  cp scripts/golden/requirements.txt build/golden/
fi
cmake --preset dev >/dev/null
cmake --build --preset dev --target real_size

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
[ $# -gt 0 ] || set -- qwen2.5-0.5b tinyllama-1.1b
for model in "$@"; do
  echo "$model"
  $python -W ignore scripts/golden/real_size.py make "$model" "$folder/$model"
  $python -W ignore scripts/golden/real_size.py expect "$folder/$model"
  for implementation in tessera mlx; do
    build/dev/tests/model/real_size "$folder/$model" $implementation
  done
  rm -rf "${folder:?}/$model"
done
