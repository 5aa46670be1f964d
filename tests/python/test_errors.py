"""Arguments that do not fit are named, with what was expected and what came."""

import mlx.core as mx
import pytest
import tessera

Q = mx.zeros((2, 4, 8, 16))
K = mx.zeros((2, 2, 8, 16))

WRONG = {
    "shape": (ValueError, {"k": mx.zeros((2, 3, 8, 16))}, "heads in a whole ratio"),
    "dtype": (ValueError, {"q": Q.astype(mx.int32)}, "float32"),
    "dtypes": (ValueError, {"q": Q.astype(mx.float16)}, "float16"),
    "word": (ValueError, {"mask": "full"}, 'a mask "causal" or an array; got "full"'),
    "broadcast": (ValueError, {"mask": mx.zeros((3, 8), mx.bool_)}, r"broadcasts to .*\(3,8\)"),
    "bias": (ValueError, {"bias": mx.zeros((7, 8))}, "a bias"),
    "implementation": (ValueError, {"implementation": "fast"}, '"auto", "tessera" or "mlx"'),
    "chunk": (ValueError, {"chunk": 4}, "causal with a chunk"),
    "window": (ValueError, {"window": (-1, 0)}, "window's left side"),
    "dropout": (ValueError, {"dropout": 1.0, "seed": 1}, r"a dropout in \[0, 1\)"),
    "no seed": (ValueError, {"dropout": 0.5}, "a seed"),
    "block size": (ValueError, {"block_size": -1}, "a block size"),
    "not an array": (TypeError, {"bias": 3}, "a bias that is an mlx.core.array; got .*int"),
    "list for q": (TypeError, {"q": [1.0]}, "q that is an mlx.core.array; got .*list"),
    "number": (TypeError, {"scale": "half"}, "a scale that is a number; got .*str"),
    "side": (TypeError, {"window": 3}, r"a window \(left, right\)"),
    "pair": (TypeError, {"segments": (mx.zeros((2, 8), mx.int32),)}, "a pair"),
    "seed": (TypeError, {"dropout": 0.5, "seed": 2**80}, "a seed"),
    "blocks": (TypeError, {"blocks": (4, 4)}, r"blocks \(list, rows, columns\)"),
    "None for k": (TypeError, {"k": None}, "k that is an mlx.core.array; got .*None"),
    "an array's window": (TypeError, {"window": mx.array(3)}, r"a window \(left, right\)"),
    "an array's blocks": (TypeError, {"blocks": mx.array(3)}, r"blocks \(list, rows, columns\)"),
    "a number's stream": (TypeError, {"stream": True}, "a stream .*; got .*bool"),
    "keyword": (TypeError, {"mode": 1}, "the keywords .*; got mode"),
    "stream": (TypeError, {"stream": "cpu"}, "a stream"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_argument(case):
    error, changed, text = WRONG[case]
    arguments = {"q": Q, "k": K, "v": K} | changed
    with pytest.raises(error, match=r"^\[attention\] expected .*; got ") as raised:
        tessera.attention(**arguments)
    assert raised.match(text)


def test_missing_argument():
    with pytest.raises(TypeError, match="attention"):
        tessera.attention(Q, K)


def test_explain_refuses_the_same():
    with pytest.raises(ValueError, match=r"\[attention\] expected a mask"):
        tessera.explain(Q, K, K, mask="full")


def test_a_case_that_does_not_fit():
    with pytest.raises(TypeError, match=r"\[case\] expected the keywords .*; got length"):
        tessera.benchmark(length=3)
    with pytest.raises(TypeError, match=r"\[case\] expected a head_dim that is an int"):
        tessera.benchmark(head_dim="64")
    with pytest.raises(ValueError, match=r"\[bench\] expected query heads"):
        tessera.benchmark(heads=(3, 2))
