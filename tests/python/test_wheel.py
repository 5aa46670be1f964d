"""A wheel is built, installed into an environment of its own, and examined.

The build folder of the tests is taken, where all is compiled already.
"""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = os.environ.get("TESSERA_BUILD")

SETTINGS = {
    "build-dir": BUILD,
    "cmake.build-type": "RelWithDebInfo",
    "cmake.define.TESSERA_TESTS": "ON",
    "cmake.define.TESSERA_WERROR": "ON",
    "cmake.define.CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
}


def run(*command):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not BUILD, reason="TESSERA_BUILD names no build folder; ctest sets it")
def test_wheel(tmp_path):
    flags = [f"--config-settings={key}={value}" for key, value in SETTINGS.items()]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), *flags, ".")
    (wheel,) = tmp_path.glob("tessera-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tessera/_core.pyi" in names and "tessera/py.typed" in names
    # The tag promises the Pythons that the extension is for: this one alone.
    assert "tessera/_core" + sysconfig.get_config_var("EXT_SUFFIX") in names
    tag = "cp{}{}".format(*sys.version_info)
    assert f"-{tag}-{tag}-" in wheel.name
    assert not [name for name in names if "libmlx" in name or name.startswith("tests")]

    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    run(python, "-m", "pip", "--disable-pip-version-check", "install", str(wheel))
    assert "healthy         yes" in run(python, "-c", "import tessera; tessera.doctor()")
