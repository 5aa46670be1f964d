import tessera  # noqa: F401  before mlx, so that OpenBLAS comes first

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--mlx-source", help="A checkout of MLX, whose own tests run patched")


@pytest.fixture(autouse=True)
def unpatched():
    """No test leaves MLX's function replaced."""
    yield
    tessera.unpatch()
