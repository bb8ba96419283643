"""Compile the native core for platforms that this machine is not, and run what can be run.

    python scripts/other_platforms.py                     compile for all of them
    python scripts/other_platforms.py linux-aarch64       for one

Compiled are the kernels, the searches on threads and the forward pass, and the programs of tests/native that compare every
kernel with the scalar one. Programs for Linux on aarch64 are then run by qemu (Debian: qemu-user, libc6-arm64-cross), which carries
out the NEON instructions. The Python bindings are not compiled for macOS and Windows: Python's headers for them are only there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from toolchain import TARGETS, Target, write_compilers

ROOT = Path(__file__).parent.parent
FOREIGN = [name for name in TARGETS if name != "linux-x86_64"]
LIBRARIES = Path("/usr/aarch64-linux-gnu")  # where Debian puts the libc of that processor
CASES = {"maxsim": 300, "codes": 100, "encoder": 60, "threads": 5}  # fewer than natively: qemu is slow


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(FOREIGN)}; all, by default")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build" / "other-platforms", help="folder of what is compiled"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(FOREIGN):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(FOREIGN)}")
    for name in arguments.targets or FOREIGN:
        folder = arguments.build.resolve() / name
        compile_for(TARGETS[name], folder)
        print(f"{name}: compiled", flush=True)
        if name == "linux-aarch64":
            run_checks(folder / "native")


def compile_for(target: Target, folder: Path) -> None:
    variables = {**os.environ, **write_compilers(folder / "compilers", target)}
    configure = [
        "cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release",
        "-DPOLYVEC_BINDINGS=OFF", "-DPOLYVEC_CHECKS=ON", "-DCMAKE_CXX_FLAGS=-Werror=all", "-DTHREADS_PREFER_PTHREAD_FLAG=OFF",
        f"-DCMAKE_SYSTEM_NAME={target.system}", f"-DCMAKE_SYSTEM_PROCESSOR={target.processor}",
        f"-DCMAKE_AR={variables['AR']}", f"-DCMAKE_RANLIB={variables['RANLIB']}",
    ]  # fmt: skip
    if target.system == "Darwin":
        configure += [f"-DCMAKE_OSX_ARCHITECTURES={target.processor}", "-DCMAKE_OSX_SYSROOT="]
    run(configure, variables)
    run(["cmake", "--build", str(folder)], variables)


def run_checks(folder: Path) -> None:
    """Run the programs for aarch64, with every instruction that qemu knows."""
    emulator = shutil.which("qemu-aarch64")
    if emulator is None or not LIBRARIES.is_dir():
        print(
            "linux-aarch64: not run, since there is no qemu-aarch64 with a libc (Debian: qemu-user, libc6-arm64-cross)"
        )
        return
    for check, cases in CASES.items():
        done = run(
            [emulator, "-cpu", "max", "-L", str(LIBRARIES), str(folder / f"check_{check}"), str(cases)],
            dict(os.environ),
        )
        print(f"linux-aarch64: {check}: {done.strip()}", flush=True)


def run(command: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
