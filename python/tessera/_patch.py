"""Our attention in the place of mx.fast.scaled_dot_product_attention."""

import sys
import types
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from . import _core

_NAME = "scaled_dot_product_attention"
_original = mx.fast.scaled_dot_product_attention


def _replace(new: Callable[..., mx.array]) -> None:
    """Puts `new` where the function in use stands: in mx.fast, and in the globals
    of every module that has imported it."""
    old = getattr(mx.fast, _NAME)
    setattr(mx.fast, _NAME, new)
    for module in list(sys.modules.values()):
        if not isinstance(module, types.ModuleType) or module is sys.modules[__name__]:
            continue
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


class patch:
    """Makes ``mx.fast.scaled_dot_product_attention`` Tessera's, everywhere.

    As a call it holds until `unpatch`; as a context manager until its end, which
    brings back what was there before. Modules that imported the function by name
    are changed too, mlx-lm's models among them; closures, partials, class
    attributes and functions already compiled keep what they hold.

    Every call is MLX's by meaning: what MLX refuses is refused in its words, masks,
    sinks, grouped heads and dtypes are read as MLX reads them, and calls that
    Tessera does not take (CUDA, float64, ``force_fused``) stay with MLX. One thing
    differs: a query that sees no key gets 0.

    Args:
        implementation: ``"auto"``, ``"tessera"`` or ``"mlx"``, as for
            `tessera.attention`.
        block_size: Rows and columns of a tile; left to the plan where absent.
        segments: A function that returns the ids ``[B, N]`` of the packed documents
            in the calls that follow, or None where there are none.

    Raises:
        ValueError: An implementation of another name, or a block size below 1.
        TypeError: An argument of another type.
    """

    def __init__(
        self,
        implementation: str = "auto",
        block_size: int | None = None,
        segments: Callable[[], mx.array | None] | None = None,
    ):
        self._before = getattr(mx.fast, _NAME)
        _replace(_core.drop_in(_original, implementation, block_size, segments))

    def __enter__(self) -> "patch":
        return self

    def __exit__(self, *error: Any) -> None:
        _replace(self._before)


def unpatch() -> None:
    """Brings MLX's own function back, everywhere."""
    _replace(_original)
