#!/usr/bin/env bash
# Builds the tests of the CPU kernels for 64-bit ARM and runs them in QEMU, where
# there is no such machine: the only way to execute isa/neon.cpp on x86.
#
#   scripts/neon.sh [GOOGLETEST FILTER]
#
# Needs, on Debian: dpkg --add-architecture arm64; apt-get install
# g++-aarch64-linux-gnu qemu-user-static libfmt-dev:arm64 libgtest-dev:arm64.
# Tests of many threads are left out: QEMU takes minutes for each.
set -euo pipefail
cd "$(dirname "$0")/.."
filter=${1:-'Vec.*:Dtype.*:Attention.*:Features.*:-*Threads*'}

out=build/neon
mkdir -p "$out/include" "$out/objects"
for header in asio asio.hpp nlohmann gtest fmt; do
  ln -sfn "/usr/include/$header" "$out/include/$header"
done

sources=(src/plan/{planner,rules,table,workspace}.cpp src/backend/cpu/*.cpp
         src/backend/cpu/isa/{kernels,neon,portable}.cpp)
for test in tests/backend/cpu/*_test.cpp; do
  [[ $test == *nightly* ]] || sources+=("$test")
done
printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I{} sh -c '
  aarch64-linux-gnu-g++ -std=c++20 -O2 -ffp-contract=fast -Wno-psabi -DASIO_STANDALONE -DFMT_SHARED \
    -Isrc -Iinclude -Itests -isystem "$0/include" -c "$1" -o "$0/objects/$(echo "$1" | tr / _).o"' "$out" {}
libraries=/usr/lib/aarch64-linux-gnu
aarch64-linux-gnu-g++ "$out"/objects/*.o -L"$libraries" -lfmt -lgtest -lgtest_main -lpthread -o "$out/test_cpu"
qemu-aarch64-static -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$libraries:/usr/aarch64-linux-gnu/lib" \
  "$out/test_cpu" --gtest_filter="$filter"
