"""Documents packed into rows, for mlx-lm's trainer.

A row holds many documents, one behind the other; attention keeps them apart by
their ids, so that nothing is spent on padding. Positions run on along a row: rotary
embeddings are relative, so the result is the same to rounding.
"""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import KVCache

from ._patch import patch

_PAD_TO = 32
_NO_DOCUMENT = -1

# input, target, weight and document of each position, [rows, columns]
Batch = tuple[mx.array, mx.array, mx.array, mx.array]


def check_packable(model: nn.Module) -> None:
    """Whether positions may run on along a row, and documents lie side by side.

    Raises:
        ValueError: A model with absolute positions, with state other than keys and
            values of all positions, or with layers that the ids do not reach.
    """
    advice = "; leave --pack out for this model"
    caches = model.make_cache() if hasattr(model, "make_cache") else []
    for cache in caches:
        if type(cache) is not KVCache:
            raise ValueError(
                "[pack] expected a model whose layers keep the keys and values of all "
                f"positions; got {type(cache).__name__}{advice}"
            )
    names = dict(model.named_modules())
    for name, module in names.items():
        leaf = name.rsplit(".", 1)[-1]
        table = isinstance(module, (nn.Embedding, nn.QuantizedEmbedding))
        if isinstance(module, nn.SinusoidalPositionalEncoding) or (
            table and (leaf == "wpe" or "pos" in leaf)
        ):
            raise ValueError(
                "[pack] expected a model of relative positions, since they run on along "
                f"a row; got the absolute ones of {name}{advice}"
            )
    kinds = {type(module).__name__.lower() for module in names.values()}
    if not any("rope" in kind or "rotary" in kind for kind in kinds):
        raise ValueError(
            "[pack] expected a model with rotary embeddings; got none in "
            f"{type(model).__module__}{advice}"
        )
    if _reach(model, _TWO) > _ROUNDING * _reach(model, None):
        raise ValueError(
            "[pack] expected a model that attends by mx.fast.scaled_dot_product_attention "
            "alone, where documents are kept apart; got one whose layers mix them, "
            f"{type(model).__module__}{advice}"
        )


_LENGTH = 8
_TWO = [[0] * _LENGTH + [1] * _LENGTH]
_ROUNDING = 0.02  # experts sum in another order, and bfloat16 has 8 bits


def _reach(model: nn.Module, ids: list[list[int]] | None) -> float:
    """How far the tokens of a document move the logits of the one behind it."""
    training = model.training
    model.eval()
    segments = mx.array(ids) if ids else None
    with patch(segments=lambda: segments):
        one, other = (
            model(mx.array([[token] * _LENGTH + list(range(_LENGTH))]))[:, _LENGTH:]
            for token in (1, 2)
        )
        far = mx.abs(one - other).max().item()
    model.train(training)
    return far


def _rows_of(lengths: list[int], order: np.ndarray, capacity: int) -> list[list[int]]:
    """Documents by rows: each goes into the first of the open rows that has room."""
    rows: list[list[int]] = []
    room: list[int] = []
    most_open = 64  # of the rows looked at, so that the work stays linear
    for i in order:
        first = max(0, len(rows) - most_open)
        row = next((r for r in range(first, len(rows)) if room[r] >= lengths[i]), None)
        if row is None:
            rows.append([])
            room.append(capacity)
            row = len(rows) - 1
        rows[row].append(int(i))
        room[row] -= lengths[i]
    return rows


def _positions(document: Any, max_seq_length: int) -> tuple[list[int], int]:
    """A document's tokens, as many as mlx-lm keeps, and where its loss begins."""
    tokens, offset = document if isinstance(document, tuple) else (document, 0)
    return list(tokens)[:max_seq_length], offset


def _fill(
    batch: list[np.ndarray], row: int, at: int, document: Any, number: int, longest: int
) -> int:
    """Writes a document into a row; returns the position behind it.

    As in mlx-lm's loss, each input has a target, the last one the padding's 0, but
    for a document that is as long as the longest: so both report the same loss.
    """
    tokens, offset = _positions(document, longest)
    count = min(len(tokens), longest - 1)
    targets = (tokens[1:] + [0])[:count]
    steps = np.arange(1, count + 1)
    inputs, of_targets, weights, ids = batch
    inputs[row, at : at + count] = tokens[:count]
    of_targets[row, at : at + count] = targets
    weights[row, at : at + count] = steps >= offset
    ids[row, at : at + count] = number
    return at + count


class Packing:
    """What mlx-lm's ``train`` and ``evaluate`` take as ``loss`` and
    ``iterate_batches``, and the ids of the documents that they are at."""

    def __init__(self) -> None:
        self._ids: mx.array | None = None

    def segments(self) -> mx.array | None:
        """The ids ``[B, N]`` of the batch that a model was called with last. They stay
        after the call, since a checkpointed layer is computed again later."""
        return self._ids

    def loss(
        self,
        model: nn.Module,
        inputs: mx.array,
        targets: mx.array,
        weights: mx.array,
        ids: mx.array,
    ) -> tuple[mx.array, mx.array]:
        """The mean cross entropy over the targets that count, and their number."""
        self._ids = ids
        losses = nn.losses.cross_entropy(model(inputs), targets) * weights
        count = weights.sum()
        return losses.astype(mx.float32).sum() / count, count

    def iterate_batches(
        self,
        dataset: Any,
        batch_size: int,
        max_seq_length: int,
        loop: bool = False,
        seed: int | None = None,
        comm_group: Any = None,
    ) -> Iterator[Batch]:
        """Batches of ``batch_size`` rows. No document is left out: rows that are
        missing from the last batch are empty.

        Raises:
            ValueError: A number of workers that does not divide ``batch_size``.
        """
        rank, workers = (comm_group.rank(), comm_group.size()) if comm_group else (0, 1)
        if batch_size % workers:
            raise ValueError(
                "[pack] expected --batch-size that the number of workers divides; got "
                f"{batch_size} and {workers}"
            )
        if seed is not None:
            np.random.seed(seed)
        longest = max_seq_length
        documents = [dataset[i] for i in range(len(dataset))]
        lengths = [min(len(_positions(d, longest)[0]), longest - 1) for d in documents]
        while True:
            order = np.random.permutation(len(documents))
            rows = _rows_of(lengths, order, longest - 1)
            widest = max(sum(lengths[i] for i in row) for row in rows)
            width = min(-(-widest // _PAD_TO) * _PAD_TO, longest - 1)
            rows += [[] for _ in range(-len(rows) % batch_size)]
            for start in range(0, len(rows), batch_size):
                mine = rows[start + rank : start + batch_size : workers]
                yield _batch([[documents[i] for i in row] for row in mine], width, longest)
            if not loop:
                break


def _batch(rows: list[list[Any]], width: int, longest: int) -> Batch:
    shape = (len(rows), width)
    batch = [
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.float32),
        np.full(shape, _NO_DOCUMENT, np.int32),
    ]
    for row, documents in enumerate(rows):
        at = 0
        for number, document in enumerate(documents):
            at = _fill(batch, row, at, document, number, longest)
    inputs, targets, weights, ids = (mx.array(x) for x in batch)
    return inputs, targets, weights, ids
