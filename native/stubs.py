"""The type stub of the extension module: written by nanobind from the bindings' own signatures.

    python native/stubs.py              write src/polyvec/_native.pyi
    python native/stubs.py --print      print it instead

Needs a built extension. A test compares the file with what this makes.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NANOBIND = "3.1.0"  # whose spelling the stub has; constraints.txt has the same
STUB = Path(__file__).parents[1] / "src" / "polyvec" / "_native.pyi"
HEADER = "# Made by native/stubs.py from the compiled module: change the bindings and run it again.\n# ruff: noqa\n# fmt: off\n"


def stub() -> str:
    """The stub's text. An array of no one dtype is an array of any."""
    from nanobind.stubgen import StubGen

    generator = StubGen(importlib.import_module("polyvec._native"))
    generator.put(generator.module)
    text: str = generator.get().replace("[NDArray, ", "[NDArray[Any], ")
    if "NDArray[Any]" in text:
        text = text.replace("import Annotated, overload", "import Annotated, Any, overload")
    return HEADER + text


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        print(stub(), end="")
    else:
        STUB.write_text(stub(), encoding="utf-8")
