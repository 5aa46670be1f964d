"""A sliding window with sinks, as in streaming models, that trains."""

import tessera

import mlx.core as mx

q = mx.random.normal((1, 8, 2048, 64))
k, v = (mx.random.normal((1, 2, 2048, 64)) for _ in range(2))
sinks = mx.zeros((8,))


def loss(sinks):
    # Hugging Face's sliding_window 512 is (511, 0).
    out = tessera.attention(q, k, v, causal=True, window=(511, 0), sinks=sinks)
    return out.square().mean()


gradient = mx.grad(loss)(sinks)
print("gradient of the sinks:", [f"{x:.1e}" for x in gradient.tolist()])
