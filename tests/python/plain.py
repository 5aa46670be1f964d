"""The plain formulas that the package is held against.

`plain` is written once over an array module: numpy in float64 gives values, mlx in
float64 values and, differentiated, gradients; mlx in a call's own dtype says what a
plain computation gets wrong there, from which the tolerance comes.
"""

import types
from typing import Any

import mlx.core as mx
import numpy as np


def seen(shape: tuple[int, int, int, int], **o: Any) -> np.ndarray:
    """Who sees whom, bool [B, Hq, Nq, Nk]; the arguments are `tessera.attention`'s,
    with numpy arrays."""
    B, Hq, Nq, Nk = shape
    i = np.arange(Nq)[:, None] + Nk - Nq
    j = np.arange(Nk)[None, :]
    sees = np.ones(shape, bool)
    if o.get("causal"):
        prefix = np.broadcast_to(np.asarray(o.get("prefix", 0)), (B,))
        sees &= (j <= i) | (j < prefix[:, None, None, None])
    left, right = o.get("window") or (None, None)
    sees &= True if left is None else j >= i - left
    sees &= True if right is None else j <= i + right
    if o.get("chunk"):
        sees &= j // o["chunk"] == i // o["chunk"]
    if o.get("segments") is not None:
        of_q, of_k = o["segments"]
        sees &= of_q[:, None, :, None] == of_k[:, None, None, :]
    if o.get("mask") is not None:
        sees &= o["mask"]
    if o.get("blocks") is not None:
        on, rows, columns = o["blocks"]
        on = on.repeat(rows, 2).repeat(columns, 3)
        sees &= on[:, :, :Nq, :Nk]
    return sees


def _philox(counter: list[np.ndarray], key: tuple[int, int]) -> list[np.ndarray]:
    """Philox4x32-10 of Salmon et al. (2011), section 3.4."""
    c = [x.astype(np.uint64) for x in counter]
    k = [np.uint64(word) for word in key]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a = c[0] * np.uint64(0xD2511F53)
        b = c[2] * np.uint64(0xCD9E8D57)
        c = [
            (b >> np.uint64(32)) ^ c[1] ^ k[0],
            b & low,
            (a >> np.uint64(32)) ^ c[3] ^ k[1],
            a & low,
        ]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return c


def kept(shape: tuple[int, int, int, int], p: float, seed: int) -> np.ndarray:
    """What dropout leaves, bool [B, Hq, Nq, Nk]."""
    B, Hq, Nq, Nk = shape
    row = np.arange(B * Hq).reshape(B, Hq, 1, 1)
    i = np.arange(Nq).reshape(1, 1, Nq, 1)
    j = np.arange(Nk).reshape(1, 1, 1, Nk)
    counter = [np.broadcast_to(x, shape) for x in (j // 4, i, row, np.zeros(1, int))]
    words = _philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    word = np.choose(np.broadcast_to(j % 4, shape), words)
    return word >= np.uint64(np.float64(np.float32(p)) * 2.0**32)


def plain(xp: types.ModuleType, arrays: dict[str, Any], **o: Any) -> tuple[Any, Any]:
    """(O, L) from q, k, v and what of bias, alibi and sinks there is in `arrays`,
    all of one dtype of `xp`."""
    q, k, v = arrays["q"], arrays["k"], arrays["v"]
    B, Hq, Nq, D = q.shape
    Nk, group = k.shape[2], Hq // k.shape[1]
    shape = (B, Hq, Nq, Nk)
    k, v = (xp.repeat(x, group, axis=1) for x in (k, v))
    scale = o.get("scale") or D**-0.5
    s = (q @ xp.swapaxes(k, 2, 3)) * scale
    if o.get("softcap"):
        s = o["softcap"] * xp.tanh(s / o["softcap"])
    if "bias" in arrays:
        s = s + arrays["bias"]
    if "alibi" in arrays:
        apart = np.abs(np.arange(Nq)[:, None] + Nk - Nq - np.arange(Nk)[None, :])
        slopes = xp.reshape(arrays["alibi"], (-1, Hq, 1, 1))
        s = s - slopes * xp.array(apart.astype(np.float32)).astype(s.dtype)
    sees = seen(shape, **o)
    hidden = xp.array(~sees)
    top = xp.max(xp.where(hidden, -1e30, s), axis=-1, keepdims=True)
    if "sinks" in arrays:
        sinks = xp.reshape(arrays["sinks"], (1, Hq, 1, 1))
        top = xp.maximum(top, sinks)
    p = xp.where(hidden, 0.0, xp.exp(xp.where(hidden, 0.0, s - top)))
    total = xp.sum(p, axis=-1, keepdims=True)
    if "sinks" in arrays:
        total = total + xp.exp(sinks - top)
    blind = xp.array(~sees.any(-1, keepdims=True)) if "sinks" not in arrays else xp.array(False)
    total = xp.where(blind, 1.0, total)
    L = xp.where(blind, -np.inf, top + xp.log(total))[..., 0]
    p = p / total
    if o.get("dropout"):
        kept_ = kept(shape, o["dropout"], o["seed"])
        p = p * xp.array((kept_ / (1 - o["dropout"])).astype(np.float32)).astype(p.dtype)
    return p @ v, L


def numpy64(x: Any) -> np.ndarray:
    """An array of mlx, of any dtype, as numpy's float64."""
    return np.array(x.astype(mx.float32) if x.dtype != mx.float64 else x, np.float64)


def tolerance(exact: np.ndarray, low: np.ndarray, dtype: mx.Dtype, logsumexp: float = 1.0) -> float:
    """Twice what the plain formula gets wrong in the dtype, and two ulp of the
    largest value; of a gradient two of it for each unit of the largest logsumexp,
    from which its weights are computed again."""
    ulp = mx.finfo(dtype).eps * np.abs(exact[np.isfinite(exact)]).max(initial=0.0)
    ulp *= max(1.0, logsumexp)
    wrong = np.abs(low - exact)
    return 2 * np.nanmax(wrong, initial=0.0) + 2 * ulp
