"""Each example runs, and says what it should."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

# What the output has to match.
SAYS = {
    "attention": r"computed by tessera/cpu",
    "bias": r"bias near -?\d+\.\d+, far -\d+\.\d+",
    "drop_in": r"logits differ by \d\.\de-0[5-9]\n2 calls",
    "lora": r"loss \d\.\d+ -> \d\.\d+",
    "new_mask": r"differ by (0\.0e\+00|\d\.\de-0[6-9])",
    "packing": r"differ by (0\.0e\+00|\d\.\de-0[6-9])",
    "window": r"gradient of the sinks: \['-?\d\.\de-\d\d'",
}


def run(name):
    if "mlx_lm" in (EXAMPLES / f"{name}.py").read_text():
        pytest.importorskip("mlx_lm")
    ran = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", EXAMPLES / f"{name}.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_all_are_here():
    assert {file.stem for file in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_example(name):
    out = run(name)
    assert re.search(SAYS[name], out), out


def test_each_stands_on_a_page():
    """The documentation includes them by marks that formatters like to change."""
    mark = re.compile(r'^--8<-- "examples/(\w+)\.py"$', re.MULTILINE)
    pages = [file.read_text() for file in (ROOT / "docs").rglob("*.md")]
    assert sorted(name for page in pages for name in mark.findall(page)) == sorted(SAYS)


@pytest.mark.parametrize("name", ["bias", "lora"])
def test_training_lowers_the_loss(name):
    before, after = re.search(r"loss (\d\.\d+) -> (\d\.\d+)", run(name)).groups()
    assert float(after) < float(before)
