import tessera  # noqa: F401  before mlx, so that OpenBLAS comes first

import sys
from pathlib import Path

import pytest

# mlx-lm asks for a Python of 3.11 or more; where it is not, these have no sense.
collect_ignore = ["test_lora.py", "test_packing.py"] if sys.version_info < (3, 11) else []

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--mlx-source", help="A checkout of MLX, whose own tests run patched")


@pytest.fixture(autouse=True)
def unpatched():
    """No test leaves MLX's function replaced."""
    yield
    tessera.unpatch()
