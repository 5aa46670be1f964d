"""Attention with a mask of every kind, and its gradients."""

import tessera  # before mlx, so that OpenBLAS is loaded first on Linux

import mlx.core as mx

B, H, N, D = 1, 8, 1024, 64
q, k, v = (mx.random.normal((B, H, N, D)) for _ in range(3))
slopes = mx.array([2.0 ** -(h + 1) for h in range(H)])


def loss(q, k, v, slopes):
    features = {"window": (255, 0), "alibi": slopes, "softcap": 30.0}
    out = tessera.attention(q, k, v, causal=True, **features)
    return (out * out).mean()


step = mx.value_and_grad(loss, argnums=(0, 1, 2, 3))
value, gradients = step(q, k, v, slopes)
print(f"loss {value.item():.4f}, gradients {[g.shape for g in gradients]}")

told = tessera.explain(q, k, v, causal=True, window=(255, 0))
print(f"computed by {told['implementation']}: {told['reason']}")
