"""The scripts that make a release: what they find wrong, for which Pythons they build, and wheels that they make."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Importer = Callable[[str], ModuleType]
ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"

pytestmark = pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the tests of an installed package come without scripts/")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Importer:
    """Imports a file of scripts/ by its name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


GOOD = [
    "polyvec/__init__.py", "polyvec/py.typed", "polyvec/_native.pyi", "polyvec/_native.abi3.so",
    "polyvec/models/polyvec-mini/config.json", "polyvec/demo/corpus/topics.jsonl", "polyvec/serve/page/index.html",
    "polyvec-0.1.0.dist-info/METADATA", "polyvec-0.1.0.dist-info/licenses/LICENSE",
]  # fmt: skip


def wheel_of(folder: Path, names: list[str]) -> Path:
    path = folder / "polyvec-0.1.0-cp312-abi3-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_good_wheel_has_no_problems(tmp_path: Path, script: Importer) -> None:
    assert script("wheel_contents").problems_of_wheel(wheel_of(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    "stray",
    [
        "polyvec/tests/test_search.py", "polyvec/__pycache__/hits.cpython-311.pyc", "polyvec/native/forward.cpp", "conftest.py",
        "polyvec/.DS_Store", "polyvec/notes.polyvec", "tests/__init__.py", "libpolyvec_kernels.a",
    ],
)  # fmt: skip
def test_what_does_not_belong_in_a_wheel_is_named(tmp_path: Path, script: Importer, stray: str) -> None:
    (problem, *_) = script("wheel_contents").problems_of_wheel(wheel_of(tmp_path, [*GOOD, stray]))
    assert stray in problem


@pytest.mark.parametrize("missing", GOOD[:7] + GOOD[8:])
def test_what_is_missing_in_a_wheel_is_named(tmp_path: Path, script: Importer, missing: str) -> None:
    names = [name for name in GOOD if name != missing]
    assert len(script("wheel_contents").problems_of_wheel(wheel_of(tmp_path, names))) == 1


def test_what_is_wrong_in_a_source_distribution_is_named(tmp_path: Path, script: Importer) -> None:
    contents = script("wheel_contents")
    path = tmp_path / "polyvec-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in (*contents.IN_SDIST[1:], "build/dev/native/forward.cpp.o", "src/polyvec/_native.abi3.so"):
            archive.addfile(tarfile.TarInfo(f"polyvec-0.1.0/{name}"), io.BytesIO())
    problems = contents.problems_of_sdist(path)
    assert len(problems) == 3
    assert f"{contents.IN_SDIST[0]} is missing" in problems


def test_one_wheel_serves_every_python_from_3_12_on(script: Importer) -> None:
    wheels = script("wheels")
    assert wheels.one_of_each_wheel([(3, 14), (3, 10), (3, 13), (3, 11), (3, 12)]) == [(3, 10), (3, 11), (3, 12)]
    assert wheels.one_of_each_wheel([(3, 14), (3, 13)]) == [(3, 13)]
    assert wheels.one_of_each_wheel([(3, 10)]) == [(3, 10)]


def test_this_python_is_found_and_what_is_none_is_passed_over(script: Importer) -> None:
    wheels = script("wheels")
    assert sys.executable in wheels.pythons_here()
    found = wheels.usable(
        [sys.executable, str(Path(os.devnull))] if os.access(os.devnull, os.X_OK) else [sys.executable]
    )
    assert found == {sys.version_info[:2]: sys.executable}


def test_a_wheel_for_another_processor_is_named_for_it(script: Importer) -> None:
    wheels, targets = script("wheels"), script("toolchain").TARGETS
    foreign = targets["linux-x86_64" if os.uname().machine == "aarch64" else "linux-aarch64"]
    variables = wheels.cross_variables(foreign, (3, 11))
    assert variables["SETUPTOOLS_EXT_SUFFIX"] == f".cpython-311-{foreign.processor}-linux-gnu.so"
    assert wheels.cross_variables(foreign, (3, 12))["SETUPTOOLS_EXT_SUFFIX"] == ".abi3.so"


def _release(folder: Path, version: str, *, coded: str, heading: str, action: str) -> Path:
    for name, text in {
        "pyproject.toml": f'[project]\nversion = "{version}"\n',
        "src/polyvec/version.py": f'__version__ = "{coded}"\n',
        "CHANGELOG.md": f"# Changelog\n\n## {heading}\n",
        ".github/workflows/release.yml": f"jobs: {{}}\n# uses: {action}\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_what_a_release_lacks_is_named(tmp_path: Path, script: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    ready: ModuleType = script("release_ready")
    monkeypatch.delenv("GITHUB_REF_TYPE", raising=False)
    good = _release(
        tmp_path / "good", "1.2.0", coded="1.2.0", heading="1.2.0 (2026-12-01)", action=f"actions/checkout@{'a' * 40}"
    )
    assert [*ready.versions(good), *ready.changelog(good), *ready.pins(good)] == []
    bad = _release(tmp_path / "bad", "1.2.0", coded="1.1.0", heading="1.2.0 (unreleased)", action="actions/checkout@v6")
    assert len(ready.versions(bad)) == len(ready.changelog(bad)) == len(ready.pins(bad)) == 1
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.3.0")
    assert ready.versions(good) == ["the tag is v1.3.0, the version 1.2.0: tag v1.2.0"]


def test_the_smoke_test_passes_here_and_tells_what_fails(script: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, str(SCRIPTS / "smoke.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["kernels: fine", "commands: fine", "library: fine", "shards: fine"]
    smoke = script("smoke")
    monkeypatch.setattr(smoke, "_wanted_kernel", lambda: "a kernel that nobody has")
    with pytest.raises(smoke.FailedError, match="a kernel that nobody has"):
        smoke.check_kernels(Path())


def _toolchain(*modules: str) -> None:
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: the extra `release` has it")


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_a_wheel_is_built_and_works_where_there_is_no_compiler(tmp_path: Path) -> None:
    _toolchain("ziglang", "auditwheel", "build")
    command = [
        sys.executable,
        str(SCRIPTS / "wheels.py"),
        "--try-out",
        "--python",
        sys.executable,
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "find a version" in done.stderr or "Temporary failure" in done.stderr:
        pytest.skip("PyPI cannot be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "manylinux_2_28" in done.stdout
    assert "shards: fine" in done.stdout


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", ["linux-aarch64", "macos-arm64", "windows-x86_64"])
def test_the_core_compiles_for_other_platforms_and_runs_in_an_emulator(tmp_path: Path, target: str) -> None:
    _toolchain("ziglang")
    command = [sys.executable, str(SCRIPTS / "other_platforms.py"), target, "--build", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{target}: compiled" in done.stdout
    if target == "linux-aarch64" and "no qemu-aarch64 with a libc" not in done.stdout:
        assert "= neon = dotprod" in done.stdout
