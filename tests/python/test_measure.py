"""explain, benchmark, tune and doctor."""

import json

import mlx.core as mx
import pytest
import tessera
import tessera._core as core
import tiny
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

Q = mx.zeros((1, 4, 300, 64))


def test_explain_says_who_and_why():
    told = tessera.explain(Q, Q, Q, window=(9, 0))
    assert told["implementation"] == "tessera/cpu"
    assert "a window" in told["reason"]
    assert [one["pass"] for one in told["passes"]] == ["forward", "backward"]
    assert all(one["rows"] > 0 and one["workspace_bytes"] > 0 for one in told["passes"])


def test_explain_of_a_bias_has_its_pass():
    told = tessera.explain(Q, Q, Q, bias=mx.zeros((300, 300)))
    assert told["passes"][2]["pass"] == "dbias"


def test_explain_of_one_query_is_mlx():
    assert tessera.explain(Q[:, :, :1], Q, Q)["implementation"] == "mlx"


def test_explain_computes_nothing():
    before = tessera.attention_profile()["calls"]
    tessera.explain(Q, Q, Q, causal=True)
    assert tessera.attention_profile()["calls"] == before


def test_profile_counts_what_a_result_needs():
    before = tessera.attention_profile()
    mx.eval(tessera.attention(Q, Q, Q, causal=True))
    after = tessera.attention_profile()
    assert after["calls"] == before["calls"] + 1
    assert after["flops"] - before["flops"] == 2 * 2 * 64 * 4 * 300 * 301 // 2
    assert after["seconds"] > before["seconds"]


def test_benchmark_has_the_keys():
    result = tessera.benchmark(seq_lengths=[64, 96], head_dims=[16], heads=(4, 2), rounds=1)
    assert [one["seq_len"] for one in result["results"]] == [64, 96]
    for one in result["results"]:
        assert one["mlx"]["time"] > 0 and one["flash"]["time"] > 0
        assert one["speedup"] == one["mlx"]["time"] / one["flash"]["time"]


def test_tune_saves_what_explain_follows(tmp_path):
    table = tmp_path / "tune.json"
    found = tessera.tune(table, lengths=192, head_dim=32, heads=2, causal=True, rounds=1)
    assert [one["pass"] for one in found] == ["forward", "backward"]
    assert found[0]["candidates"] > 1 and table.is_file()
    q = mx.zeros((1, 2, 192, 32))
    told = tessera.explain(q, q, q, causal=True, implementation="tessera")
    assert told["passes"][0]["tuned"]
    assert told["passes"][0]["rows"] == found[0]["rows"]
    tessera.use_table(None)
    told = tessera.explain(q, q, q, causal=True, implementation="tessera")
    assert not told["passes"][0]["tuned"]
    tessera.use_table(table)
    told = tessera.explain(q, q, q, causal=True, implementation="tessera")
    assert told["passes"][0]["tuned"]
    tessera.use_table(None)


def test_tune_leaves_what_is_no_table(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    try:
        tessera.tune(file, lengths=64, rounds=1)
    except ValueError as error:
        assert "[tune] expected " in str(error) and str(file) in str(error)
    else:
        raise AssertionError("expected a ValueError; got none")
    assert file.read_text() == "mine"


def test_doctor_finds_this_machine_healthy(capsys):
    report = tessera.doctor()
    assert report["healthy"] and len(report["checks"]) > 20
    assert {check["backend"] for check in report["checks"]} >= {"cpu"}
    assert all({"O", "dQ", "dK", "dV"} <= set(check["errors"]) for check in report["checks"])
    assert report["matmul_gflops"] > 0
    assert "healthy         yes" in capsys.readouterr().out


def test_doctor_tells_what_is_wrong(monkeypatch, capsys):
    wrong = {
        "backend": "cpu",
        "case": "a case",
        "right": False,
        "failed": "O off by 3 times the tolerance",
    }
    monkeypatch.setattr(
        core, "doctor", lambda quick: json.dumps({"checks": [wrong], "healthy": False})
    )
    assert not tessera.doctor()["healthy"]
    assert (
        "cpu             a case: WRONG: O off by 3 times the tolerance" in capsys.readouterr().out
    )


@pytest.fixture
def run(tmp_path):
    """The options of a run of `tessera finetune`, whose weights are not there."""
    model = tmp_path / "model"
    model.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **tiny.CONFIG}
    config |= {"vocab_size": 400, "max_position_embeddings": 4096, "hidden_act": "silu"}
    (model / "config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(tiny.texts(40), trainer)
    tokenizer.save(str(model / "tokenizer.json"))
    data = tiny.save_data(tmp_path / "data")
    return {"model": model, "data": data, "max_seq_length": 256, "batch_size": 2}


def test_plan_predicts_a_run(run):
    told = tessera.plan(**run)
    assert told["rows"] == 2 and told["layers"] == 2 and told["fits"]
    assert told["peak_bytes"] == sum(told["bytes"].values())
    assert told["bytes"]["weights"] > 0 and told["bytes"]["activations"] > 0
    larger = tessera.plan(**run | {"batch_size": 8})
    assert larger["bytes"]["activations"] > told["bytes"]["activations"]
    assert larger["bytes"]["weights"] == told["bytes"]["weights"]


def test_plan_takes_flags_of_every_kind(run):
    packed = tessera.plan(**run, pack=True, test=False, epochs=None, max_memory="1GB")
    assert packed["columns"] == 256 and packed["available_bytes"] > 0


def test_plan_names_what_does_not_fit(run):
    with pytest.raises(ValueError, match=r"\[plan\] expected the options .*; got: .*lenght"):
        tessera.plan(**run, lenght=3)
    with pytest.raises(ValueError, match=r"\[.*\] expected .*; got"):
        tessera.plan(**run | {"model": "nowhere"})
