"""Faults in system calls: a library, preloaded, that kills this process or fails at the n-th call that changes a file."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

COUNT, KILL, TEAR, FAIL_ONCE, FAIL_ON = range(5)
SOURCE = Path(__file__).with_name("faults.c")


def available() -> bool:
    """Whether this machine can preload a library that it compiles."""
    return sys.platform == "linux" and _compiler() is not None


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    compiler = _compiler()
    assert compiler is not None
    library = folder / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def preloaded_environment(library: Path) -> dict[str, str]:
    """The environment of a process that can `arm` faults in itself and in its forks."""
    return {**os.environ, "LD_PRELOAD": str(library), "POLYVEC_TEST_FAULTS": str(library), "OMP_NUM_THREADS": "1"}


class Faults:
    """The library as it is loaded in this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["POLYVEC_TEST_FAULTS"])
        self._library.faults_calls.restype = ctypes.c_long

    def arm(self, folder: Path, *, at: int, action: int, error: int = 0) -> None:
        """From now on count calls that change files in a folder, and act at the `at`-th. error: errno of FAIL_*."""
        self._library.faults_arm(str(folder).encode(), ctypes.c_long(at), action, error)

    def disarm(self) -> None:
        """Let every call through."""
        self._library.faults_disarm()

    def calls(self) -> int:
        """Calls counted since `arm`."""
        return int(self._library.faults_calls())


def _compiler() -> str | None:
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
