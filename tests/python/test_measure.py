"""explain, benchmark, tune and doctor."""

import mlx.core as mx
import tessera
import tessera._core as core

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
    assert report["healthy"] and len(report["checks"]) == 7
    assert report["matmul_gflops"] > 0
    assert "healthy         yes" in capsys.readouterr().out


def test_doctor_tells_what_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr(core, "check", lambda **case: [("a case", 3.0)])
    assert not tessera.doctor()["healthy"]
    assert "WRONG           3.00 of the tolerance: a case" in capsys.readouterr().out
