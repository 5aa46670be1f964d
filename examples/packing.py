"""Three documents in one row, each blind to the others."""

import tessera

import mlx.core as mx

lengths = [300, 120, 92]
ids = mx.array([[i for i, n in enumerate(lengths) for _ in range(n)]])
q, k, v = (mx.random.normal((1, 4, sum(lengths), 64)) for _ in range(3))

packed = tessera.attention(q, k, v, causal=True, segments=ids)

start, apart = 0, []
for n in lengths:
    one = (x[:, :, start : start + n] for x in (q, k, v))
    apart.append(tessera.attention(*one, causal=True))
    start += n
difference = mx.abs(packed - mx.concatenate(apart, axis=2)).max().item()
print(f"packed and apart differ by {difference:.1e}")
