"""Workflows do what runs on any machine: their steps are make targets, and checkers find nothing in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
TRIVIAL = re.compile(r"sudo apt-get (update|install --yes [a-z0-9 -]+)")  # what only a runner needs

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the tests of an installed package come without .github/")


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads the key `on` as true."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    found["on"] = found.pop(True, found.get("on"))
    return found


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.M))


def test_every_file_is_listed() -> None:
    assert {path.name for path in WORKFLOWS} == {"codeql.yml", "docs.yml", "release.yml", "test.yml", "wheels.yml"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_is_a_make_target(path: Path) -> None:
    targets = make_targets()
    for step in steps(read(path)):
        for line in step.get("run", "").splitlines():
            called = re.fullmatch(r"make ([a-z-]+)", line.strip())
            assert called or TRIVIAL.fullmatch(line.strip()), f"{line!r} is neither a make target nor trivial"
            assert not called or called.group(1) in targets, f"there is no make target {called and called.group(1)!r}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_more_rights_than_it_needs(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    rights = {
        right
        for job in workflow["jobs"].values()
        for right, kind in job.get("permissions", {}).items()
        if kind == "write"
    }
    allowed = {
        "release": {"id-token", "attestations"}, "docs": {"pages", "id-token"}, "codeql": {"security-events"}
    }  # fmt: skip
    assert rights == allowed.get(path.stem, set())
    for job in workflow["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 120
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "secrets." not in str(step), "no stored password is needed"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_named_by_a_version_or_a_commit(path: Path) -> None:
    for step in steps(read(path)):
        if "uses" in step:
            assert re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", step["uses"]), step["uses"]


def test_a_release_is_what_was_tested() -> None:
    """Publishing waits for the wheels, which are tried out; the tag is checked first; nobody else may publish."""
    jobs = read(FOLDER / "workflows" / "release.yml")["jobs"]
    assert jobs["publish"]["needs"] == "wheels"
    assert jobs["wheels"] == {"needs": "ready", "uses": "./.github/workflows/wheels.yml"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert "scripts/wheels.py --try-out" in (ROOT / "Makefile").read_text(encoding="utf-8")
    used = [step.get("uses", "") for step in jobs["publish"]["steps"]]
    assert any("attest-build-provenance" in one for one in used)
    assert used[-1].startswith("pypa/gh-action-pypi-publish@")


def test_dependencies_are_updated_everywhere() -> None:
    updates = yaml.safe_load((FOLDER / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert {one["package-ecosystem"] for one in updates} == {"github-actions", "pip", "docker"}
    for one in updates:
        assert (ROOT / one["directory"].strip("/")).is_dir()


@pytest.mark.parametrize("path", sorted((FOLDER / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_forms_are_sound(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert form["blank_issues_enabled"] is False
        return
    assert {"name", "description", "body"} <= form.keys()
    names = [one.get("id") for one in form["body"] if one["type"] != "markdown"]
    assert len(names) == len(set(names)), "ids are unique"
    assert all(names)


def test_a_report_of_a_defect_asks_for_what_is_needed() -> None:
    text = (FOLDER / "ISSUE_TEMPLATE" / "defect.yml").read_text(encoding="utf-8")
    assert "polyvec info INDEX --json" in text
    assert "small" in text


@pytest.mark.heavy
@pytest.mark.parametrize(
    "command", [["actionlint"], ["zizmor", "--offline", "--no-progress", "--quiet", ".github"]], ids=lambda one: one[0]
)
def test_checkers_find_nothing(command: list[str]) -> None:
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed: the extra `release` has it")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
