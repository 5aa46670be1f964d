"""MLX's own tests of its function, of a checkout of MLX, on ours."""

import unittest

import pytest
import tessera


@pytest.fixture
def own_tests(request, monkeypatch):
    """Runs MLX's python/tests/test_fast_sdpa.py, of a checkout of MLX."""
    source = request.config.getoption("--mlx-source")
    if source is None:
        pytest.skip("--mlx-source names no checkout of MLX")
    monkeypatch.syspath_prepend(f"{source}/python/tests")

    def run():
        suite = unittest.defaultTestLoader.loadTestsFromName("test_fast_sdpa")
        names = {test.id() for tests in suite for test in tests}
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        wrong = {t.id().split(" ")[0] for t, _ in result.failures + result.errors}
        return names - wrong - {t.id() for t, _ in result.skipped}

    return run


@pytest.mark.parametrize("implementation", ["auto", "tessera"])
def test_mlx_own_tests(own_tests, implementation):
    """What passes without the patch passes with it, on our kernels."""
    without = own_tests()
    before = tessera.attention_profile()["calls"]
    with tessera.patch(implementation):
        patched = own_tests()
    assert len(without) > 10 and without <= patched
    assert tessera.attention_profile()["calls"] > before
