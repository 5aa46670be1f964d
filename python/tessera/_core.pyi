"""Tessera's C++ library."""

from collections.abc import Callable, Sequence
import os
import pathlib
from typing import Any, Literal, overload

import mlx.core


@overload
def attention(q: mlx.core.array, k: mlx.core.array, v: mlx.core.array, *, scale: float | None = None, causal: bool = False, mask: str | mlx.core.array | None = None, bias: mlx.core.array | None = None, window: tuple[int | None, int | None] | None = None, segments: mlx.core.array | tuple[mlx.core.array, mlx.core.array] | None = None, prefix: int | mlx.core.array | None = None, chunk: int | None = None, alibi: mlx.core.array | None = None, softcap: float | None = None, sinks: mlx.core.array | None = None, dropout: float = 0.0, seed: int | mlx.core.array | None = None, blocks: tuple[mlx.core.array, int, int] | None = None, return_lse: Literal[False] = False, implementation: str = 'auto', block_size: int | None = None, stream: mlx.core.Stream | mlx.core.ThreadLocalStream | mlx.core.Device | mlx.core.DeviceType | None = None) -> mlx.core.array: ...

@overload
def attention(q: mlx.core.array, k: mlx.core.array, v: mlx.core.array, *, scale: float | None = None, causal: bool = False, mask: str | mlx.core.array | None = None, bias: mlx.core.array | None = None, window: tuple[int | None, int | None] | None = None, segments: mlx.core.array | tuple[mlx.core.array, mlx.core.array] | None = None, prefix: int | mlx.core.array | None = None, chunk: int | None = None, alibi: mlx.core.array | None = None, softcap: float | None = None, sinks: mlx.core.array | None = None, dropout: float = 0.0, seed: int | mlx.core.array | None = None, blocks: tuple[mlx.core.array, int, int] | None = None, return_lse: Literal[True], implementation: str = 'auto', block_size: int | None = None, stream: mlx.core.Stream | mlx.core.ThreadLocalStream | mlx.core.Device | mlx.core.DeviceType | None = None) -> tuple[mlx.core.array, mlx.core.array]: ...

@overload
def attention(q: mlx.core.array, k: mlx.core.array, v: mlx.core.array, *, scale: float | None = None, causal: bool = False, mask: str | mlx.core.array | None = None, bias: mlx.core.array | None = None, window: tuple[int | None, int | None] | None = None, segments: mlx.core.array | tuple[mlx.core.array, mlx.core.array] | None = None, prefix: int | mlx.core.array | None = None, chunk: int | None = None, alibi: mlx.core.array | None = None, softcap: float | None = None, sinks: mlx.core.array | None = None, dropout: float = 0.0, seed: int | mlx.core.array | None = None, blocks: tuple[mlx.core.array, int, int] | None = None, return_lse: bool, implementation: str = 'auto', block_size: int | None = None, stream: mlx.core.Stream | mlx.core.ThreadLocalStream | mlx.core.Device | mlx.core.DeviceType | None = None) -> mlx.core.array | tuple[mlx.core.array, mlx.core.array]:
    """
    Attention with any mask, in memory linear in the length.

    ``O = softmax(scores) V``, forward and backward, without ever holding the
    scores. Every keyword combines with every other. Works under ``mx.grad``,
    ``mx.value_and_grad``, ``mx.vmap``, ``mx.compile`` and ``mx.checkpoint``.

    With ``i' = i + Nk - Nq`` the position of query ``i``, it sees key ``j`` iff
    (not ``causal``, or ``j <= i'``, or ``j < prefix``), and the window, the chunk,
    the segments, the mask and the block list allow it. A score, in float32:
    ``s = scale * q.k``; ``s = c * tanh(s / c)``; ``s += bias``;
    ``s -= slope * |i' - j|``; keys not seen leave the sum; the sink joins the
    denominator as it is. A row that sees no key is 0.

    Args:
        q: Queries ``[B, Hq, Nq, D]``, float32, float16 or bfloat16.
        k: Keys ``[B, Hkv, Nk, D]`` in q's dtype; Hq is a multiple of Hkv.
        v: Values ``[B, Hkv, Nk, Dv]`` in q's dtype.
        scale: Factor on ``q k^T``; ``1 / sqrt(D)`` where absent.
        causal: Keys ``j <= i'`` alone (lower-right aligned).
        mask: ``"causal"``; a boolean array that broadcasts to ``[B, Hq, Nq, Nk]``,
            where true keeps; or a float one, which is a bias.
        bias: Float of any dtype that broadcasts to ``[B, Hq, Nq, Nk]``, added to
            the scaled scores. Differentiable, in its own shape and dtype.
        window: ``(left, right)``: keys ``i' - left`` to ``i' + right``; None is no
            bound. Hugging Face's ``sliding_window`` w is ``(w - 1, 0)``.
        segments: Ids of packed documents, an integer array ``[B, N]`` or a pair
            ``([B, Nq], [B, Nk])``: equal ids see each other.
        prefix: With causal: keys ``j < prefix`` are seen by every query; an int or
            ``[B]``.
        chunk: With causal: only keys of the same chunk of so many keys.
        alibi: Slopes ``[Hq]`` or ``[B, Hq]``. Differentiable.
        softcap: ``c`` of ``c * tanh(s / c)``.
        sinks: ``[Hq]``, one more logit a head in the denominator. Differentiable.
        dropout: Probability in [0, 1) that an attention weight is left out.
        seed: Of dropout: an int, or an integer scalar array (which ``mx.compile``
            keeps an input).
        blocks: ``(list, rows, columns)``, a boolean list ``[B or 1, Hq or 1,
            ceil(Nq / rows), ceil(Nk / columns)]``; blocks that are off cost
            nothing.
        return_lse: Also return the logsumexp of the scores.
        implementation: ``"auto"``, ``"tessera"`` or ``"mlx"``. ``auto`` is
            Tessera's unless MLX's own op was measured faster where both agree.
        block_size: Rows and columns of a tile; left to the plan where absent.
        stream: Stream or device.

    Returns:
        O ``[B, Hq, Nq, Dv]`` in q's dtype; with ``return_lse`` the pair (O, L),
        L ``[B, Hq, Nq]`` float32, natural logarithm, the sink included and dropout
        not, -inf where no key is seen. L is differentiable.

    Raises:
        ValueError: A shape, dtype, number or word that does not fit.
        TypeError: An argument of another type.

    Method: Dao, "FlashAttention-2" (2023), sections 3.1 and 3.2. ALiBi: Press et
    al. (2022), section 3. Sinks: Xiao et al. (2024), section 3.2. Dropout: Salmon
    et al. (2011), section 3.4 (Philox).
    """

def drop_in(original: Callable, implementation: object, block_size: object | None, segments: object | None) -> Callable:
    """
    A function that takes the place of mx.fast.scaled_dot_product_attention.

    `segments` is None, or a function that returns the ids [B, N] of the
    packed documents of the calls that follow, or None.
    """

def benchmark(**keywords) -> str:
    """The JSON of a benchmark of random calls."""

def tune(file: str | os.PathLike, **keywords) -> list:
    """Measures block sizes and saves them in the table `file`."""

def doctor(quick: bool) -> str:
    """The JSON of an examination of this machine."""

def default_table_path() -> pathlib.Path: ...

def explain(q: mlx.core.array, k: mlx.core.array, v: mlx.core.array, *, scale: float | None = None, causal: bool = False, mask: str | mlx.core.array | None = None, bias: mlx.core.array | None = None, window: tuple[int | None, int | None] | None = None, segments: mlx.core.array | tuple[mlx.core.array, mlx.core.array] | None = None, prefix: int | mlx.core.array | None = None, chunk: int | None = None, alibi: mlx.core.array | None = None, softcap: float | None = None, sinks: mlx.core.array | None = None, dropout: float = 0.0, seed: int | mlx.core.array | None = None, blocks: tuple[mlx.core.array, int, int] | None = None, return_lse: bool = False, implementation: str = 'auto', block_size: int | None = None, stream: mlx.core.Stream | mlx.core.ThreadLocalStream | mlx.core.Device | mlx.core.DeviceType | None = None) -> dict[str, Any]:
    """
    Which implementation a call of `attention` takes, why, and with which tiles.

    Takes what `attention` takes and computes nothing: arrays of zeros serve.

    Returns:
        A dictionary of ``implementation`` ("tessera/cpu", "tessera/metal" or
        "mlx"), ``reason`` and ``passes``: a dictionary for the forward and the
        backward pass (and dbias with a bias) with ``rows`` and ``columns`` of a tile,
        ``threads``, ``instruction_set``, ``workspace_bytes`` and ``tuned``; on Metal
        one for each kernel, with its plan.

    Raises:
        ValueError, TypeError: As `attention` does.
    """

def system_info() -> dict:
    """
    What this process runs on.

    Returns:
        ``tessera_version``, ``mlx_version``, ``device``, ``backends``,
        ``processor``, ``instruction_set`` and ``threads`` of Tessera's kernels,
        ``memory_gib``, ``gpu``, ``blas`` that MLX's matrix products run in, and
        ``blas_kernels``.
    """

def matmul_rate(n: int = 2048, repeats: int = 3) -> float:
    """GF/s of MLX's float32 matmul of two n x n matrices."""

def peak_gflops() -> float:
    """The most float32 GF/s of the processor's arithmetic units, measured."""

def attention_profile() -> dict:
    """
    What Tessera's attention has taken since the program began.

    Returns:
        ``calls`` of a forward or backward pass, wall ``seconds``, and ``flops``
        that the results needed (2 a product and sum, over the pairs of query and
        key that see each other). MLX's own op is not seen.
    """

def use_table(file: str | os.PathLike | None) -> None:
    """
    Makes plans follow a table of `tune`, in the whole process.

    Args:
        file: The table, an empty one where there is no such file; None for none any
            more.

    Raises:
        ValueError: A file that is no table.
    """

def plan(flags: Sequence[str]) -> str:
    """The JSON that `tessera plan` prints for these flags."""
