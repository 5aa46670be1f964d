"""Packed rows: mlx-lm's loss and gradients, to rounding; what cannot be packed."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import tessera
import tiny
from mlx.utils import tree_flatten
from mlx_lm.models import cache, gemma2
from mlx_lm.tuner.trainer import default_loss, grad_checkpoint, iterate_batches
from tessera.packing import Packing, check_packable

LONGEST = 64


def documents(count, most=30):
    random = np.random.default_rng(count)
    return [
        (random.integers(2, 30, random.integers(2, most)).tolist(), int(random.integers(0, 3)))
        for _ in range(count)
    ]


def flat(gradients):
    return {name: np.array(x) for name, x in tree_flatten(gradients)}


def both(model, data):
    """Loss, targets and gradients of one batch of all documents: by mlx-lm, and
    packed."""
    (batch,) = iterate_batches(data, len(data), LONGEST)
    (loss, count), gradients = nn.value_and_grad(model, default_loss)(model, *batch)
    theirs = loss.item(), count.item(), flat(gradients)
    packing = Packing()
    rows = packing.iterate_batches(data, 1, LONGEST)
    packed = tuple(mx.concatenate(column) for column in zip(*rows))
    with tessera.patch(segments=packing.segments):
        (loss, count), gradients = nn.value_and_grad(model, packing.loss)(model, *packed)
        return theirs, (loss.item(), count.item(), flat(gradients)), packed


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("checkpointed", [False, True])
def test_packed_is_unpacked(kind, checkpointed, monkeypatch):
    model = tiny.build(kind)
    data = documents(9)
    if checkpointed:
        layer = type(model.layers[0])
        monkeypatch.setattr(layer, "__call__", layer.__call__)
        grad_checkpoint(model.layers[0])
    theirs, ours, packed = both(model, data)
    assert packed[0].shape[0] < len(data) and mx.any(packed[3] > 0)
    assert ours[1] == theirs[1]
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    for name, gradient in theirs[2].items():
        largest = np.abs(gradient).max()
        assert np.abs(ours[2][name] - gradient).max() <= 1e-5 * largest, name


def test_packing_without_segments_would_differ():
    """What the ids are for: the same rows without them give another loss."""
    model = tiny.build("llama")
    packing = Packing()
    (batch, *_) = packing.iterate_batches(documents(9), 1, LONGEST)
    with tessera.patch(segments=packing.segments):
        apart = packing.loss(model, *batch)[0].item()
    with tessera.patch():
        together = packing.loss(model, *batch)[0].item()
    assert abs(apart - together) > 1e-4 * apart


def test_under_compile_each_batch_has_its_own_ids():
    model = tiny.build("llama")
    packing = Packing()
    batches = list(packing.iterate_batches(documents(40), 1, LONGEST))[:2]
    assert not mx.array_equal(batches[0][3], batches[1][3])
    with tessera.patch(segments=packing.segments):
        want = [packing.loss(model, *batch)[0].item() for batch in batches]
        step = mx.compile(lambda *batch: packing.loss(model, *batch))
        got = [step(*batch)[0].item() for batch in batches]
    assert got == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("count", [1, 7, 50])
def test_every_document_is_there_once(count):
    data = documents(count, most=90)  # some are cut, as mlx-lm cuts them
    found = []
    for inputs, targets, weights, ids in Packing().iterate_batches(data, 2, LONGEST):
        assert inputs.shape == targets.shape == weights.shape == ids.shape
        assert inputs.shape[0] == 2 and inputs.shape[1] <= LONGEST - 1
        for row, of_row in zip(np.array(inputs), np.array(ids)):
            for number in range(of_row.max() + 1):
                found.append(tuple(row[of_row == number]))
    want = [tuple(tokens[: LONGEST - 1]) for tokens, _ in data]
    assert sorted(found) == sorted(want)


def test_rows_are_full():
    data = documents(400)
    batches = list(Packing().iterate_batches(data, 4, 256))
    held = sum((np.array(batch[3]) >= 0).sum() for batch in batches[:-1])
    assert held > 0.95 * sum(batch[3].size for batch in batches[:-1])


def test_epochs_differ_and_a_seed_repeats():
    data = documents(30)

    def first(seed):
        return np.array(next(Packing().iterate_batches(data, 2, LONGEST, seed=seed))[0])

    assert np.array_equal(first(1), first(1)) and not np.array_equal(first(1), first(2))


def test_workers_take_rows_in_turn():
    data = documents(60)

    class Worker:
        def __init__(self, rank):
            self.rank, self.size = (lambda: rank), (lambda: 2)

    def rows(rank=None):
        group = None if rank is None else Worker(rank)
        batches = Packing().iterate_batches(data, 4, LONGEST, seed=1, comm_group=group)
        return [np.array(batch[0]) for batch in batches]

    for whole, even, odd in zip(rows(), rows(0), rows(1)):
        assert np.array_equal(whole[0::2], even) and np.array_equal(whole[1::2], odd)
    with pytest.raises(ValueError, match="--batch-size that the number of workers divides"):
        next(Packing().iterate_batches(data, 3, LONGEST, comm_group=Worker(0)))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_packable(kind):
    check_packable(tiny.build(kind))


class Recurrent(nn.Module):
    def make_cache(self):
        return [cache.ArraysCache(2)]


class Rotating(nn.Module):
    def make_cache(self):
        return [cache.KVCache(), cache.RotatingKVCache(8)]


def build_gemma2():
    """Whose attention is mlx-lm's own products and softmax."""
    config = tiny.CONFIG | {"head_dim": 8, "query_pre_attn_scalar": 8}
    del config["tie_word_embeddings"]
    return gemma2.Model(gemma2.ModelArgs(model_type="gemma2", **config))


REFUSED = {
    "own attention": (build_gemma2, "whose layers mix them, mlx_lm.models.gemma2"),
    "absolute positions": (tiny.build_gpt2, "absolute ones of .*wpe"),
    "recurrent state": (Recurrent, "got ArraysCache"),
    "rotating cache": (Rotating, "got RotatingKVCache"),
    "no positions": (lambda: nn.Linear(2, 2), "rotary embeddings; got none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    model, text = REFUSED[name]
    with pytest.raises(ValueError, match=rf"\[pack\] expected .*{text}.*leave --pack out"):
        check_packable(model())
