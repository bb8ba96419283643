"""What an installed polyvec brings along, as a CycloneDX document: build/sbom.cdx.json.

    python scripts/sbom.py

The first wheel of dist/ that fits this Python is installed in an empty environment, and its packages are listed with versions,
licenses and what needs what.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parent.parent
OUT = ROOT / "build" / "sbom.cdx.json"


def main() -> None:
    wheel = fitting(sorted((ROOT / "dist").glob("polyvec-*.whl")))
    OUT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="polyvec-sbom-") as folder:
        environment = Path(folder) / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        inner = str(environment / "bin" / "python")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "--python",
                inner,
                "install",
                "--quiet",
                "--only-binary",
                ":all:",
                str(wheel),
            ],
            check=True,
        )
        command = [
            sys.executable,
            "-m",
            "cyclonedx_py",
            "environment",
            inner,
            "--pyproject",
            str(ROOT / "pyproject.toml"),
        ]
        subprocess.run(
            [*command, "--mc-type", "library", "--output-reproducible", "--output-file", str(OUT)], check=True
        )
    listed = [component["name"] for component in json.loads(OUT.read_text(encoding="utf-8"))["components"]]
    if "numpy" not in listed:
        sys.exit(f"{OUT} does not list numpy, which polyvec needs")
    print(f"{OUT.relative_to(ROOT)}: {len(listed)} packages")


def fitting(wheels: list[Path]) -> Path:
    tags = set(sys_tags())
    for wheel in wheels:
        if parse_wheel_filename(wheel.name)[3] & tags:
            return wheel
    sys.exit("dist/ has no wheel for this Python: run `make wheels` first")


if __name__ == "__main__":
    main()
