"""What this machine's arithmetic can do at most: compiles and runs benchmarks/peak.cpp."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".cpp")


def peaks(threads: int = 1) -> dict[str, float]:
    """Multiply-adds a second from registers alone: fp32, and int8 with the instruction that scoring uses; the best of five rounds.

    Raises:
        RuntimeError: there is no C++ compiler.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise RuntimeError("benchmarks/peak.cpp needs g++ or clang++, and neither is here.")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        flags = ["-std=c++17", "-O2", "-march=native", "-pthread"]
        subprocess.run([compiler, *flags, str(SOURCE), "-o", str(program)], check=True)
        done = subprocess.run([str(program), str(threads)], check=True, capture_output=True)
        found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(peaks()))
