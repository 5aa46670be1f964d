"""Three documents in one row, each blind to the others."""

import tessera

import mlx.core as mx

lengths = [300, 120, 92]
ids = mx.concatenate([mx.full((n,), i, mx.int32) for i, n in enumerate(lengths)])[None]
q, k, v = (mx.random.normal((1, 4, sum(lengths), 64)) for _ in range(3))

packed = tessera.attention(q, k, v, causal=True, segments=ids)

start, apart = 0, []
for n in lengths:
    row = slice(start, start + n)
    apart.append(tessera.attention(q[:, :, row], k[:, :, row], v[:, :, row], causal=True))
    start += n
difference = mx.abs(packed - mx.concatenate(apart, axis=2)).max().item()
print(f"packed and apart differ by {difference:.1e}")
