"""A learned bias of relative positions; its gradient comes in its own shape."""

import tessera

import mlx.core as mx
import mlx.optimizers as optim

H, N, D = 4, 256, 32
q, k, v = (mx.random.normal((2, H, N, D)) for _ in range(3))
target = tessera.attention(q, k, v, window=(32, 32))
away = mx.abs(mx.arange(N)[:, None] - mx.arange(N)[None, :])


def loss(weights):
    bias = weights["by_distance"][:, away]  # [H, N, N]
    return (tessera.attention(q, k, v, bias=bias) - target).square().mean()


weights = {"by_distance": mx.zeros((H, N))}
optimizer = optim.Adam(learning_rate=0.3)
before = loss(weights).item()
for _ in range(20):
    weights = optimizer.apply_gradients(mx.grad(loss)(weights), weights)
print(f"loss {before:.5f} -> {loss(weights).item():.5f}")
near, far = (
    weights["by_distance"][:, :33].mean().item(),
    weights["by_distance"][:, 33:].mean().item(),
)
print(f"bias near {near:.2f}, far {far:.2f}")
