"""A mask of one's own: a boolean array, and a list of blocks to skip."""

import tessera

import mlx.core as mx

N, BLOCK = 1024, 64
q, k, v = (mx.random.normal((1, 4, N, 64)) for _ in range(3))

# Each block of queries sees its own block of keys and the first one.
index = mx.arange(N // BLOCK)
on = (index[:, None] == index[None, :]) | (index[None, :] == 0)
blocks = (on[None, None], BLOCK, BLOCK)
by_blocks = tessera.attention(q, k, v, causal=True, blocks=blocks)

mask = mx.repeat(mx.repeat(on, BLOCK, axis=0), BLOCK, axis=1)
by_mask = tessera.attention(q, k, v, causal=True, mask=mask)

difference = mx.abs(by_blocks - by_mask).max().item()
print(f"blocks and mask differ by {difference:.1e}")
