import tessera  # noqa: F401  before mlx, so that OpenBLAS comes first

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def unpatched():
    """No test leaves MLX's function replaced."""
    yield
    tessera.unpatch()
