"""The compiler that releases are built with: clang with the system headers of many platforms, from the PyPI package ziglang.

It compiles for another system, another processor or an older glibc from any machine, so that what is released can be built and
tested everywhere.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is compiled for.

    Attributes:
        name: As this file's users name it.
        triple: As zig names it.
        system: CMAKE_SYSTEM_NAME.
        processor: CMAKE_SYSTEM_PROCESSOR.
        wheel_platform: The platform tag of a wheel; empty where no wheel is made with this compiler.
    """

    name: str
    triple: str
    system: str
    processor: str
    wheel_platform: str = ""


# glibc 2.28 is that of Debian 10, Ubuntu 20.04 and RHEL 8.
TARGETS = {
    target.name: target
    for target in (
        Target(name="linux-x86_64", triple="x86_64-linux-gnu.2.28", system="Linux", processor="x86_64",
               wheel_platform="manylinux_2_28_x86_64"),
        Target(name="linux-aarch64", triple="aarch64-linux-gnu.2.28", system="Linux", processor="aarch64",
               wheel_platform="manylinux_2_28_aarch64"),
        Target(name="macos-arm64", triple="aarch64-macos.11.0", system="Darwin", processor="arm64"),
        Target(name="macos-x86_64", triple="x86_64-macos.11.0", system="Darwin", processor="x86_64"),
        Target(name="windows-x86_64", triple="x86_64-windows-gnu", system="Windows", processor="AMD64"),
    )
}  # fmt: skip


def program_of_zig() -> Path:
    """The program inside the package: `python -m ziglang` would not find the package in pip's build environments."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        sys.exit("The package ziglang is missing, which has the compiler: pip install -c constraints.txt ziglang")
    return Path(found.origin).with_name("zig")


def write_compilers(folder: Path, target: Target) -> dict[str, str]:
    """Write programs that compile for a target, and return the environment variables that name them.

    Args:
        folder: Where the programs are written.
        target: What they compile for.
    """
    zig = program_of_zig()
    folder.mkdir(parents=True, exist_ok=True)
    compile_for = f"-target {target.triple}"
    variables = {"ZIG_GLOBAL_CACHE_DIR": os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(folder / "cache"))}
    for variable, tool, options in (
        ("CC", "cc", compile_for),
        ("CXX", "c++", compile_for),
        ("AR", "ar", ""),
        ("RANLIB", "ranlib", ""),
    ):
        program = folder / f"zig-{tool}-{target.name}"
        program.write_text(f'#!/bin/sh\nexec "{zig}" {tool} {options} "$@"\n', encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        variables[variable] = str(program)
    return variables
