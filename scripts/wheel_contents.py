"""What a wheel and a source distribution must and must not contain.

python scripts/wheel_contents.py FILE...
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

MOST_BYTES = 60_000_000  # the model is 38 of them; the index refuses 100 MB
IN_WHEEL = (
    "polyvec/__init__.py",
    "polyvec/py.typed",
    "polyvec/_native.pyi",
    "polyvec/models/",
    "polyvec/demo/corpus/",
    "polyvec/serve/page/",
)
IN_SDIST = (
    "pyproject.toml",
    "CMakeLists.txt",
    "LICENSE",
    "README.md",
    "native/CMakeLists.txt",
    "src/polyvec/__init__.py",
)
JUNK = re.compile(
    r"(^|/)(tests?|benchmarks|build|dist|node_modules|__pycache__|\.[^/]+|conftest\.py)(/|$)|\.(pyc|orig|rej|swp|log|o|a|cpp|hpp|inl|polyvec)$"
)
JUNK_OF_SDIST = re.compile(
    r"(^|/)(benchmarks/results|build|dist|__pycache__|\.venv|\.ci|\.github)(/|$)|\.(pyc|so|orig|rej|swp|log)$"
)


def problems_of_wheel(wheel: Path) -> list[str]:
    """What is wrong with the files of a wheel, in sentences; empty if nothing is."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    problems = [f"{name} does not belong in a wheel" for name in names if JUNK.search(name)]
    problems += [f"{name} is missing" for name in IN_WHEEL if not any(one.startswith(name) for one in names)]
    extensions = [name for name in names if re.fullmatch(r"polyvec/_native\.[^/]*(so|pyd)", name)]
    if len(extensions) != 1:
        problems.append(f"a wheel has one extension module, this one has {extensions}")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        problems.append("the license is missing")
    outside = sorted({name.split("/")[0] for name in names if not re.match(r"polyvec(/|-[^/]+\.dist-info/)", name)})
    problems += [f"{name} would be installed beside polyvec" for name in outside]
    return problems + _too_large(wheel)


def problems_of_sdist(sdist: Path) -> list[str]:
    """The same for a source distribution."""
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    problems = [f"{name} does not belong in a source distribution" for name in names if JUNK_OF_SDIST.search(name)]
    problems += [f"{name} is missing" for name in IN_SDIST if name not in names]
    return problems + _too_large(sdist)


def _too_large(file: Path) -> list[str]:
    size = file.stat().st_size
    return [f"it has {size:,} bytes, more than {MOST_BYTES:,}"] if size > MOST_BYTES else []


def main() -> None:
    found = False
    for file in map(Path, sys.argv[1:]):
        for problem in problems_of_wheel(file) if file.suffix == ".whl" else problems_of_sdist(file):
            print(f"{file.name}: {problem}")
            found = True
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
