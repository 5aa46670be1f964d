"""``python -m tessera.lora``: mlx-lm's flags, trainer and adapters."""

import json
import os
import re
import subprocess
import sys
import types

import mlx.core as mx
import mlx_lm
import mlx_lm.lora
import pytest
import tessera.lora
import tiny
from mlx.utils import tree_flatten

COMMON = ["--iters", "3", "--batch-size", "2", "--num-layers", "2", "--max-seq-length", "64"]
COMMON += ["--steps-per-report", "1", "--steps-per-eval", "3", "--learning-rate", "1e-3"]
OURS = {"--use-flash-attention", "--flash-block-size", "--profile-attention", "--pack"}


# mlx-lm's own trainer, with the BLAS that ours has, so that the bits are the same.
THEIRS = "import tessera, runpy; runpy.run_module('mlx_lm.lora', run_name='__main__')"


def lora(*flags, theirs=False):
    program = ["-c", THEIRS] if theirs else ["-m", "tessera.lora"]
    return subprocess.run(
        [sys.executable, *program, *flags],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("lora")
    tiny.save(root / "model")
    tiny.save_data(root / "data")
    return root


def flags_of(folders, adapter):
    paths = {"model": "model", "data": "data", "adapter-path": adapter}
    return [part for name, path in paths.items() for part in (f"--{name}", str(folders / path))]


def train(folders, adapter, *flags, **keywords):
    ran = lora("--train", *flags_of(folders, adapter), *COMMON, *flags, **keywords)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def adapter(folders, name):
    return mx.load(str(folders / name / "adapters.safetensors"))


@pytest.fixture(scope="module")
def theirs(folders):
    """An adapter that mlx-lm trained by itself."""
    train(folders, "theirs", theirs=True)
    return adapter(folders, "theirs")


def options(parser):
    return {o: a for a in parser._actions for o in a.option_strings}


def test_every_flag_of_mlx_lm_and_ours():
    mine, base = options(tessera.lora.build_parser()), options(mlx_lm.lora.build_parser())
    assert set(mine) - set(base) == OURS
    for name, action in base.items():
        assert vars(mine[name])["dest"] == action.dest and mine[name].choices == action.choices


def test_trains_as_mlx_lm_does(folders, theirs):
    out = train(folders, "ours", "--use-flash-attention", "--profile-attention")
    calls = int(re.search(r"Attention: (\d+) calls", out)[1])
    assert calls >= 3 * 2 * 2  # steps, layers, passes
    ours = adapter(folders, "ours")
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert mx.abs(ours[name] - value).max() <= 1e-4 * mx.abs(value).max(), name


def test_off_is_mlx_own(folders, theirs):
    out = train(folders, "off", "--use-flash-attention", "off", "--profile-attention")
    assert "Attention: no call was Tessera's" in out
    assert all(
        mx.array_equal(value, theirs[name]) for name, value in adapter(folders, "off").items()
    )


def test_packed(folders):
    out = train(folders, "packed", "--pack", "--grad-checkpoint", "--test", "--profile-attention")
    assert re.search(r"Test loss \d+\.\d+", out)
    assert int(re.search(r"Attention: (\d+) calls", out)[1]) > 0
    config = json.loads((folders / "packed" / "adapter_config.json").read_text())
    assert config["pack"] is True and config["fine_tune_type"] == "lora"


@pytest.mark.parametrize("name", ["ours", "packed"])
def test_mlx_lm_loads_the_adapter(folders, name):
    if not (folders / name).exists():
        train(folders, name, *(["--pack"] if name == "packed" else []))
    model, tokenizer = mlx_lm.load(str(folders / "model"), adapter_path=str(folders / name))
    parameters = dict(tree_flatten(model.parameters()))
    for key, value in adapter(folders, name).items():
        assert mx.array_equal(parameters[key], value)
    assert isinstance(mlx_lm.generate(model, tokenizer, "the cat", max_tokens=3), str)


def test_goes_on_from_theirs(folders, theirs):
    """An adapter of mlx-lm is read: with a rate of 0 it stays as it was."""
    file = str(folders / "theirs" / "adapters.safetensors")
    train(folders, "onward", "--resume-adapter-file", file, "--learning-rate", "0")
    assert all(
        mx.array_equal(value, theirs[name]) for name, value in adapter(folders, "onward").items()
    )


def test_a_config_file_names_our_flags(folders, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("use_flash_attention: on\nprofile_attention: true\npack: true\n")
    out = train(folders, "yaml", "--config", str(file))
    assert re.search(r"Attention: \d+ calls", out)


REFUSED = {
    "block size": (["--flash-block-size", "7"], "a block"),
    "mlx's packing": (["--pack", "--use-flash-attention", "off"], "on or auto with --pack"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_line(folders, name):
    flags, text = REFUSED[name]
    ran = lora("--train", *flags_of(folders, "refused"), *COMMON, *flags)
    assert ran.returncode == 2
    last = ran.stderr.splitlines()[-1]
    assert re.match(r"\[\w+\] expected .*; got ", last) and text in last


def test_a_model_that_cannot_be_packed_keeps_its_folder(folders, monkeypatch):
    """It is refused before anything is written."""
    monkeypatch.setattr(mlx_lm.lora, "load", lambda *args, **keywords: (tiny.build_gpt2(), None))
    args = vars(tessera.lora.build_parser().parse_args(["--pack", "--train"]))
    for key, value in mlx_lm.lora.CONFIG_DEFAULTS.items():
        args[key] = value if args.get(key) is None else args[key]
    args["adapter_path"] = str(folders / "never")
    with pytest.raises(ValueError, match=r"\[pack\] expected a model of relative positions"):
        tessera.lora.run(types.SimpleNamespace(**args))
    assert not (folders / "never").exists()


def test_everything_is_put_back(folders, monkeypatch):
    before = (mlx_lm.lora.load, mlx_lm.lora.train, mx.fast.scaled_dot_product_attention)
    test_a_model_that_cannot_be_packed_keeps_its_folder(folders, monkeypatch)
    monkeypatch.undo()
    assert before == (mlx_lm.lora.load, mlx_lm.lora.train, mx.fast.scaled_dot_product_attention)
