# make demo   sets up, builds and runs the main job on real text
# make test   sets up, builds and passes every test
# make real-size   compares a LoRA step of two real configurations with peft's

.DEFAULT_GOAL := build
.PHONY: setup build demo test test-dev test-asan test-tsan real-size format check-format clean

setup:
	@scripts/setup.sh

build: setup
	@cmake --preset release >/dev/null
	@cmake --build --preset release

demo: build
	@.venv/bin/python scripts/demo/run.py build/release/tessera demo

test: check-format test-dev test-asan

test-dev test-asan test-tsan: test-%: setup
	@cmake --preset $* >/dev/null
	@cmake --build --preset $*
	@ctest --preset $*

real-size: setup
	@scripts/golden/real_size.sh

sources = $(shell git ls-files '*.h' '*.cpp')

format: setup
	@.venv/bin/clang-format -i $(sources)

check-format: setup
	@.venv/bin/clang-format --dry-run --Werror $(sources)

clean:
	rm -rf build
