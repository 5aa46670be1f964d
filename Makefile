# make demo   sets up, builds and runs the main job on real text
# make test   sets up, builds and passes every test
# make test-tsan   the suites without MLX under the thread sanitizer
# make sweep  compares attention with the reference on every shape (an hour)
# make docs   builds the site of the documentation in build/site
# make stubs  writes the types of the Python package's extension
# make real-size   compares a LoRA step of two real configurations with peft's

.DEFAULT_GOAL := build
.PHONY: setup build demo test test-dev test-asan test-tsan sweep real-size docs stubs format check-format clean

setup:
	@scripts/setup.sh

build: setup
	@cmake --preset release >/dev/null
	@cmake --build --preset release

demo: build
	@.venv/bin/python scripts/demo/run.py build/release/tessera demo

test: check-format test-dev test-asan

test-dev test-asan: test-%: setup
	@cmake --preset $* >/dev/null
	@cmake --build --preset $*
	@ctest --preset $*

# The thread sanitizer can judge only what links no MLX, which is not built for
# it.
test-tsan: setup
	@cmake --preset tsan >/dev/null
	@cmake --build --preset tsan --target test_plan test_cpu test_text
	@ctest --preset tsan

sweep: setup
	@cmake --preset dev >/dev/null
	@cmake --build --preset dev --target test_cpu_nightly test_metal_nightly
	@ctest --test-dir build/dev -C nightly -R '(cpu|metal)_nightly' --output-on-failure

real-size: setup
	@scripts/golden/real_size.sh

docs: setup
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@.venv/bin/python docs/draw_tiles.py
	@.venv/bin/mkdocs build --quiet

stubs: setup
	@cmake --preset dev >/dev/null
	@cmake --build --preset dev --target tessera_python
	@cmake --install build/dev --component python --prefix build/dev/site >/dev/null
	@PYTHONPATH=build/dev/site .venv/bin/python -m nanobind.stubgen -q -m tessera._core -o python/tessera/_core.pyi

sources = $(shell git ls-files '*.h' '*.cpp')
pythons = python tests/python examples bench/python docs

format: setup
	@.venv/bin/clang-format -i $(sources)
	@.venv/bin/ruff format --quiet $(pythons)

check-format: setup
	@.venv/bin/clang-format --dry-run --Werror $(sources)
	@.venv/bin/ruff format --quiet --check $(pythons)
	@.venv/bin/ruff check --quiet $(pythons)

clean:
	rm -rf build
