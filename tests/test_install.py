"""What pyproject.toml promises to install: extras that fit together, and exact versions for all of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import polyvec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
SOURCE = Path(polyvec.__file__).parent
BASE = {"numpy", "tokenizers", "safetensors", "click", "rich", "backports.zstd", "tomli"}
FOR_USERS = {
    "torch", "train", "eval", "parquet", "serve", "client", "mcp", "publish", "ray", "langchain", "llama-index", "haystack",
    "mteb", "pyterrier", "dspy",
}  # fmt: skip
FOR_DEVELOPERS = {"docs", "dev", "release", "heavy"}
# Only builds of torch for CUDA need these.
OF_CUDA = re.compile(r"(nvidia|cuda|triton)\b")


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


EXTRAS: dict[str, list[Requirement]] = {
    name: [Requirement(line) for line in lines] for name, lines in _project()["optional-dependencies"].items()
}


def _pins() -> dict[str, str]:
    """Package -> the version that constraints.txt names."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(row) == 2 for row in rows), "constraints.txt has a line that is no exact version"
    pins = {canonicalize_name(name): version for name, version in rows}
    assert len(pins) == len(rows), "a package stands twice in constraints.txt"
    return pins


def _extras_within(extra: str) -> set[str]:
    """The extras that one brings along, itself among them."""
    found = {extra}
    for requirement in EXTRAS[extra]:
        if requirement.name == "polyvec":
            for inner in requirement.extras:
                found |= _extras_within(inner)
    return found


def _needed(extra: str) -> list[Requirement]:
    return [
        requirement for one in _extras_within(extra) for requirement in EXTRAS[one] if requirement.name != "polyvec"
    ]


def test_the_base_package_is_small() -> None:
    names = {Requirement(line).name for line in _project()["dependencies"]}
    assert names == BASE


def test_all_brings_every_extra_for_users_and_heavy_brings_everything() -> None:
    assert EXTRAS.keys() == FOR_USERS | FOR_DEVELOPERS | {"all"}
    everything = {str(requirement) for extra in FOR_USERS for requirement in _needed(extra)}
    assert {str(requirement) for requirement in _needed("all")} == everything
    assert {requirement.name for extra in EXTRAS for requirement in _needed(extra)} == {
        requirement.name for requirement in _needed("heavy")
    }


def test_an_extra_brings_no_torch_unless_it_is_about_torch() -> None:
    with_torch = {extra for extra in EXTRAS if any(requirement.name == "torch" for requirement in _needed(extra))}
    assert with_torch == {"torch", "train", "mteb", "all", "dev", "release", "heavy"}


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_every_package_has_an_exact_version_within_its_range(extra: str) -> None:
    pins = _pins()
    for requirement in _needed(extra):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints.txt has no version of {requirement.name}"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{requirement} does not take the {version} of constraints.txt"
        )


def _installed_requirements() -> Iterator[tuple[str, Requirement]]:
    """What the packages that are installed here need of each other, as far as polyvec's extras lead to them."""
    waiting = [(requirement.name, frozenset(requirement.extras)) for extra in EXTRAS for requirement in _needed(extra)]
    waiting += [(name, frozenset()) for name in BASE]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in lines:
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
            if requirement.marker is None or any(requirement.marker.evaluate(one) for one in environments):
                yield name, requirement
                entry = (canonicalize_name(requirement.name), frozenset(requirement.extras))
                if entry not in seen:
                    seen.add(entry)
                    waiting.append(entry)


def test_what_the_packages_need_is_pinned_too() -> None:
    pins = _pins()
    wrong = [
        f"{name} needs {requirement}, constraints.txt has {pins.get(canonicalize_name(requirement.name))}"
        for name, requirement in _installed_requirements()
        if not OF_CUDA.match(requirement.name)
        and not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert wrong == []


def test_messages_name_extras_that_exist() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    named = set(re.findall(r"polyvec\[([a-z-]+)\]", text))
    assert named
    assert named <= FOR_USERS


def _resolver() -> list[str] | None:
    """The uv that is installed here, None where there is none."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    return None if found is None else [found, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "-"]


def _requirements() -> str:
    lines = {str(requirement) for extra in EXTRAS for requirement in _needed(extra)}
    return "\n".join(sorted(lines | set(_project()["dependencies"])))


def _resolved(command: list[str]) -> str:
    """What a resolver prints. uv reads the system's certificates, as pip does: a proxy's own may be among them."""
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
    done = subprocess.run(command, input=_requirements(), capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _need_pypi() -> None:
    try:
        with urlopen("https://pypi.org/simple/click/", timeout=10) as answer:
            answer.read(1)
    except (URLError, OSError) as error:
        pytest.skip(f"PyPI cannot be reached: {error}")


@pytest.mark.heavy
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_extra_resolves_with_every_other(python: str) -> None:
    _need_pypi()
    resolver = _resolver()
    if resolver is None:
        pytest.skip("needs uv: pip takes minutes")
    assert len(_resolved([*resolver, "--python-version", python]).splitlines()) > 200


@pytest.mark.heavy
def test_the_exact_versions_resolve_together() -> None:
    _need_pypi()
    constraints = str(ROOT / "constraints.txt")
    resolver = _resolver()
    if resolver is not None:
        command = [*resolver, "--constraint", constraints]
    else:  # a minute
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
        command += ["--constraint", constraints, "--requirement", "/dev/stdin"]
    pins = _pins()
    for line in _resolved(command).splitlines():
        name, _, version = line.partition(";")[0].strip().partition("==")
        if not OF_CUDA.match(name):
            assert pins.get(canonicalize_name(name)) == version, line
