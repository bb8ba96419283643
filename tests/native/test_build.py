"""What the build refuses, and that the extension's type stub is what its bindings say."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

NATIVE = Path(__file__).parents[2] / "native"


def stubs() -> ModuleType:
    """native/stubs.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("stubs", NATIVE / "stubs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_type_stub_is_what_the_bindings_say() -> None:
    nanobind = pytest.importorskip("nanobind")
    module = stubs()
    if nanobind.__version__ != module.NANOBIND:
        pytest.skip(f"the stub is compared with what nanobind {module.NANOBIND} writes; this is {nanobind.__version__}")
    assert module.STUB.read_text(encoding="utf-8") == module.stub(), "run `make stubs`"


@pytest.mark.parametrize(
    ("compiler", "refused"), [("MSVC", True), ("Intel", True), ("GNU", False), ("Clang", False), ("AppleClang", False)]
)
def test_a_compiler_that_cannot_build_the_kernels_is_refused_in_one_line(compiler: str, refused: bool) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake here")
    command = [cmake, f"-DCMAKE_CXX_COMPILER_ID={compiler}", "-P", str(NATIVE / "compiler.cmake")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == refused
    if refused:
        assert f"polyvec cannot be compiled with {compiler}" in done.stderr
        assert "clang-cl" in done.stderr
