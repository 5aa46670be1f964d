"""What a call from Python costs, nothing evaluated: python bench/python/overhead.py

The time of a call of `tessera.attention` bounds what the binding adds to the C++ op.
Under `patch`, a call that stays with MLX costs what MLX's own takes and a little more.
"""

import tessera

import time
from collections.abc import Callable

import mlx.core as mx

ROUNDS, CALLS = 9, 5000


def microseconds(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least of rounds in which all take turns."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                function()
            best[name] = min(best[name], (time.perf_counter() - start) / CALLS * 1e6)
    return best


def main() -> None:
    q = mx.random.normal((1, 8, 128, 64))
    one = q[:, :, :1]
    ids = mx.zeros((1, 128), mx.int32)
    mx.eval(q, one, ids)
    theirs = (mx.fast.scaled_dot_product_attention,)
    with tessera.patch():
        ours = (mx.fast.scaled_dot_product_attention,)
    with tessera.patch("mlx"):
        switched_off = (mx.fast.scaled_dot_product_attention,)
    times = microseconds(
        {
            "tessera.attention, dense": lambda: tessera.attention(q, q, q),
            "tessera.attention, window and segments": lambda: tessera.attention(
                q, q, q, causal=True, window=(9, 0), segments=ids
            ),
            "MLX, one query": lambda: theirs[0](one, q, q, scale=0.1),
            "patched, one query (stays with MLX)": lambda: ours[0](one, q, q, scale=0.1),
            "patched with mlx, one query": lambda: switched_off[0](one, q, q, scale=0.1),
            "MLX, causal": lambda: theirs[0](q, q, q, scale=0.1, mask="causal"),
            "patched, causal (Tessera's)": lambda: ours[0](q, q, q, scale=0.1, mask="causal"),
        }
    )
    for name, value in times.items():
        print(f"{name:<42}{value:6.2f} us")
    added = times["patched, one query (stays with MLX)"] - times["MLX, one query"]
    most = max(value for name, value in times.items() if name.startswith("tessera"))
    print(f"binding adds at most {most:.1f} us (target 20)")
    print(f"patch adds {added:.1f} us to a call that stays with MLX (target 5)")


if __name__ == "__main__":
    main()
