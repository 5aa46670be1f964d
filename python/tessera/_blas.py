"""OpenBLAS for MLX's matrix products on Linux CPUs.

MLX's Linux wheel carries a reference BLAS (5 GF/s where OpenBLAS gives 190). Its
calls land in OpenBLAS where that is loaded first, for the whole process to see.
"""

import contextlib
import ctypes
import os
import sys
import warnings
from collections.abc import Iterator

LIBRARY = "libopenblas.so.0"


def _settings() -> dict[str, str]:
    """What OpenBLAS reads from the environment, once, as it is loaded.

    A workaround, not an interface. Version 0.3.21 takes SSE3 kernels on a
    processor that is newer than it (5 times slower); and its threads spin for
    2^28 cycles after each product, so that attention behind a product gets half
    of two cores. 2^20 is half a millisecond.
    """
    settings = {"OPENBLAS_THREAD_TIMEOUT": "20"}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next(line for line in file if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return settings
    if "avx512vl" in flags:
        settings["OPENBLAS_CORETYPE"] = "SKYLAKEX"
    elif "avx2" in flags:
        settings["OPENBLAS_CORETYPE"] = "HASWELL"
    return settings


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Sets what is unset, and leaves the environment as it was."""
    added = {key: value for key, value in settings.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            del os.environ[key]


def load() -> None:
    """Loads OpenBLAS, or warns why MLX's products stay slow. To be called before
    mlx.core is imported."""
    if sys.platform != "linux" or hasattr(ctypes.CDLL(None), "cblas_sgemm"):
        return
    if "mlx.core" in sys.modules:
        warnings.warn(
            "[tessera] expected to be imported before mlx, whose matrix products on "
            "the CPU are fast where OpenBLAS is loaded first; got mlx first: import "
            "tessera above it",
            RuntimeWarning,
            stacklevel=3,
        )
        return
    try:
        with _environment(_settings()):
            ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        warnings.warn(
            f"[tessera] expected {LIBRARY}, without which MLX's matrix products on "
            "the CPU are slow; got none: install it (Debian: libopenblas0-pthread)",
            RuntimeWarning,
            stacklevel=3,
        )
