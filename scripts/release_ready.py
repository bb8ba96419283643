"""Whether a checkout may be tagged as a release: one line for what is missing, exit code 1 where something is.

    python scripts/release_ready.py

On a tag (GITHUB_REF_NAME, or HEAD's own), the tag must be the version.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent


def main() -> None:
    problems = [*versions(ROOT), *changelog(ROOT), *pins(ROOT)]
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


def versions(root: Path) -> list[str]:
    """pyproject.toml, version.py, the changelog and the tag say one version."""
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    coded = re.search(r'__version__ = "(.+)"', (root / "src/polyvec/version.py").read_text(encoding="utf-8"))
    problems = []
    if coded is None or coded.group(1) != declared:
        problems.append(f"src/polyvec/version.py does not say {declared}, as pyproject.toml does")
    tag = os.environ.get("GITHUB_REF_NAME") if os.environ.get("GITHUB_REF_TYPE") == "tag" else _own_tag(root)
    if tag and tag != f"v{declared}":
        problems.append(f"the tag is {tag}, the version {declared}: tag v{declared}")
    return problems


def _own_tag(root: Path) -> str:
    command = ["git", "-C", str(root), "tag", "--points-at", "HEAD", "--list", "v*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def changelog(root: Path) -> list[str]:
    """The first version of CHANGELOG.md is this one, with a date."""
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    first = re.search(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    heading = "" if first is None else first.group(1)
    if re.fullmatch(rf"{re.escape(declared)} \(\d{{4}}-\d{{2}}-\d{{2}}\)", heading):
        return []
    return [f"CHANGELOG.md begins with {heading!r}: write '## {declared} (YYYY-MM-DD)', with the day of the release"]


def pins(root: Path) -> list[str]:
    """Actions that get rights to publish are named by a commit."""
    text = (root / ".github/workflows/release.yml").read_text(encoding="utf-8")
    loose = [name for name in re.findall(r"uses: ([^.\s]\S*)", text) if not re.search(r"@[0-9a-f]{40}$", name)]
    return [
        f"release.yml uses {name}: pin it to a commit, with the version in a comment" for name in sorted(set(loose))
    ]


if __name__ == "__main__":
    main()
