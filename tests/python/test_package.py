"""How the package is imported, typed and installed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
import tessera

FOLDER = Path(tessera.__file__).parent
SOURCE = Path(__file__).parents[2] / "python" / "tessera"


def python(code, *flags, **environment):
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


linux = pytest.mark.skipif(sys.platform != "linux", reason="OpenBLAS is Linux's alone")

BLAS = "import tessera; print(tessera.system_info()['blas'])"


@linux
def test_openblas_comes_first():
    ran = python(BLAS, "-W", "error")
    assert ran.returncode == 0, ran.stderr
    assert "openblas" in ran.stdout


@linux
def test_the_environment_stays():
    code = "import os; before = dict(os.environ); import tessera; print(before == os.environ)"
    assert python(code).stdout == "True\n"


@linux
def test_mlx_first_is_told_once():
    ran = python("import mlx.core, tessera, tessera")
    assert ran.returncode == 0
    assert ran.stderr.count("expected to be imported before mlx") == 1


@linux
def test_a_blas_that_is_there_is_taken():
    code = "import ctypes; ctypes.CDLL('libopenblas.so.0', mode=ctypes.RTLD_GLOBAL);"
    ran = python(code + "import mlx.core;" + BLAS, "-W", "error")
    assert ran.returncode == 0, ran.stderr


def test_another_mlx_is_refused():
    ran = python("import mlx.core; mlx.core.__version__ = '9.9'; import tessera")
    assert ran.returncode == 1
    error = ran.stderr.splitlines()[-1]
    assert "ImportError: [tessera] expected mlx 0.32.4" in error
    assert "got 9.9" in error and "pip install" in error and "TESSERA_MLX=9.9" in error
    assert f"nanobind=={tessera._build.NANOBIND_VERSION} " in error


def test_an_mlx_that_cannot_be_imported_is_told():
    ran = python("import sys; sys.modules['mlx.core'] = None; import tessera", "-W", "ignore")
    assert ran.returncode == 1
    error = ran.stderr.splitlines()[-1]
    assert "ImportError: [tessera] expected mlx 0.32.4; got none that can be" in error
    assert "pip install 'mlx" in error and "==0.32.4'" in error


@linux
def test_an_mlx_of_another_nanobind_is_refused():
    """Such an MLX is one whose arrays the extension does not know."""
    library = Path(mx.__file__).parent / "lib" / "libmlx.so"
    code = f"""
import ctypes, importlib.util, sys, types
ctypes.CDLL({str(library)!r})
sys.modules["mlx"] = sys.modules["mlx.core"] = types.ModuleType("mlx.core")
spec = importlib.util.spec_from_file_location("tessera._core", {tessera._core.__file__!r})
spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""
    ran = python(code)
    assert ran.returncode == 1
    assert "ImportError: [tessera] expected an mlx.core whose nanobind" in ran.stderr


def test_a_build_against_another_mlx_is_refused(tmp_path):
    define = ["-DTESSERA_MLX=9.9", f"-DTESSERA_PYTHON={sys.executable}"]
    ran = subprocess.run(
        ["cmake", "-S", SOURCE.parents[1], "-B", tmp_path, *define],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    error = " ".join(ran.stderr.split())
    assert "[cmake] expected MLX 9.9" in error
    assert f"-DTESSERA_MLX={tessera.system_info()['mlx_version']}" in error


def test_stubs_are_those_of_the_module(tmp_path):
    """`make stubs` writes them."""
    command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "tessera._core"]
    subprocess.run([*command, "-o", tmp_path / "_core.pyi"], check=True)
    assert (tmp_path / "_core.pyi").read_text() == (SOURCE / "_core.pyi").read_text()


def test_types_tell_whether_a_logsumexp_comes():
    """In the stub, which a test above holds to the module."""
    stub = ast.parse((SOURCE / "_core.pyi").read_text())
    overloads = [
        function
        for function in stub.body
        if isinstance(function, ast.FunctionDef) and function.name == "attention"
    ]
    returns = {
        ast.unparse(arg.annotation): ast.unparse(function.returns)
        for function in overloads
        for arg in function.args.kwonlyargs
        if arg.arg == "return_lse"
    }
    one, both = "mlx.core.array", "tuple[mlx.core.array, mlx.core.array]"
    assert returns == {
        "Literal[False]": one,
        "Literal[True]": both,
        "bool": f"{one} | {both}",
    }


def test_what_is_public_has_a_docstring():
    for name in tessera.__all__:
        assert getattr(tessera, name).__doc__, name
    doc = tessera.attention.__doc__
    assert all(word in doc for word in ("Args:", "Returns:", "Raises:", "[B, Hq, Nq, D]"))


def test_no_mlx_is_carried_along():
    assert not [file for file in FOLDER.rglob("*") if "libmlx" in file.name]
