"""The MLX that this package was built against."""

import sys

from . import _build

_EXTRA = "[cpu]" if sys.platform == "linux" else ""
_INSTALL = f"pip install 'mlx{_EXTRA}=={_build.MLX_VERSION}'"


def require() -> None:
    """Imports MLX.

    Raises:
        ImportError: Another version, or none that can be imported, with the commands that
            help.
    """
    try:
        import mlx.core as mx
    except ImportError as error:  # also where `mlx` and `mlx-cpu` are of two versions
        raise ImportError(
            f"[tessera] expected mlx {_build.MLX_VERSION}; got none that can be imported "
            f"({error}). Install it: {_INSTALL}"
        ) from error
    if mx.__version__ != _build.MLX_VERSION:
        raise ImportError(
            f"[tessera] expected mlx {_build.MLX_VERSION}, which this package was built "
            f"against; got {mx.__version__}. Install that one ({_INSTALL}), or rebuild in "
            "Tessera's folder: pip install scikit-build-core "
            f"nanobind=={_build.NANOBIND_VERSION} && pip install --force-reinstall "
            "--no-deps --no-build-isolation "
            f"--config-settings=cmake.define.TESSERA_MLX={mx.__version__} ."
        )
