"""Try a wheel for Linux on aarch64 on another machine: Debian's Python for that processor, run by qemu.

    python scripts/try_aarch64.py dist/polyvec-...-cp311-cp311-manylinux_2_28_aarch64.whl

The wheel must fit Python 3.11, which Debian 12 has. Needs root, Debian's packages qemu-user and debootstrap, and the network:
Python is unpacked under build/aarch64, and packages that polyvec needs come from PyPI for that processor. Then smoke.py runs there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "aarch64", help="where Debian is unpacked")
    arguments = parser.parse_args()
    for program in ("qemu-aarch64", "debootstrap", "dpkg"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing (Debian: qemu-user, debootstrap)")
    folder = arguments.folder.resolve()
    system, packages = folder / "system", folder / "packages"
    if not (system / "usr/bin/python3.11").exists():
        unpack_debian(system)
    shutil.rmtree(packages, ignore_errors=True)
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(packages), "--python-version", "3.11"]
    subprocess.run([*pip, "--only-binary", ":all:", *platforms, str(arguments.wheel)], check=True)
    python = ["qemu-aarch64", "-cpu", "max", "-L", str(system), str(system / "usr/bin/python3.11")]
    smoke = [str(ROOT / "scripts" / "smoke.py"), "--launcher", " ".join(python)]
    variables = {**os.environ, "PYTHONPATH": str(packages), "PYTHONHOME": str(system / "usr"), "OMP_NUM_THREADS": "1"}
    sys.exit(subprocess.run([*python, *smoke], check=False, env=variables).returncode)


def unpack_debian(system: Path) -> None:
    """The packages of a small Debian with Python, unpacked and not installed."""
    names = "--include=python3,libstdc++6"
    subprocess.run(
        ["debootstrap", "--foreign", "--variant=minbase", "--arch=arm64", names, "bookworm", str(system)], check=True
    )
    for package in sorted((system / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(system)], check=True)


if __name__ == "__main__":
    main()
