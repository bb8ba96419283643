"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, in buffers of exactly the right size.

AVX-512 and NEON kernels run here on any x86 machine through SIMDe (Debian: libsimde-dev), which carries out their
intrinsics one by one.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

NATIVE = Path(__file__).parent.parent / "native"
CHECK = Path(__file__).parent / "native" / "check_maxsim.cpp"
SANITIZE = ["-std=c++17", "-O1", "-g", "-ffp-contract=off", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
X86 = platform.machine() in ("x86_64", "AMD64")


def build(folder: Path, name: str, sources: list[tuple[Path, list[str]]], flags: list[str]) -> Path:
    """Compile each source with its own flags, link, and return the program; skip where the compiler cannot."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    probe = folder / "probe.cpp"
    probe.write_text("int main() { return 0; }\n", encoding="utf-8")
    if subprocess.run(
        [compiler, *SANITIZE, str(probe), "-o", str(folder / "probe")], capture_output=True, check=False
    ).returncode:
        pytest.skip("the compiler has no sanitizer runtime")
    objects = [folder / f"{name}-{source.stem}.o" for source, _ in sources]
    commands = [
        [compiler, *SANITIZE, *flags, *own, f"-I{NATIVE}", "-c", str(source), "-o", str(object_file)]
        for (source, own), object_file in zip(sources, objects, strict=True)
    ]
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(
            lambda command: subprocess.run(command, capture_output=True, text=True, check=False), commands
        ):
            assert done.returncode == 0, done.stderr
    program = folder / name
    subprocess.run([compiler, *SANITIZE, *map(str, objects), "-o", str(program)], check=True)
    return program


def run(program: Path, *arguments: str) -> str:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not X86, reason="x86 kernels")
def test_avx2(tmp_path: Path) -> None:
    kernels = NATIVE / "kernels"
    avx2 = ["-mavx2", "-mfma", "-mf16c"]
    sources = [
        (CHECK, []),
        (kernels / "maxsim_scalar.cpp", []),
        (kernels / "maxsim_avx2.cpp", avx2),
        (kernels / "maxsim_avx512.cpp", [*avx2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]),
    ]
    printed = run(build(tmp_path, "avx2", sources, ["-DPOLYVEC_X86=1"]), "300")
    assert printed.startswith("300 cases, scalar")


@pytest.mark.skipif(not X86, reason="SIMDe stands in for other instruction sets on x86")
@pytest.mark.parametrize(
    ("name", "define", "file"),
    [("avx512", "POLYVEC_X86", "maxsim_avx512.cpp"), ("neon", "POLYVEC_NEON", "maxsim_neon.cpp")],
)
def test_other_instruction_sets_through_simde(tmp_path: Path, name: str, define: str, file: str) -> None:
    if not Path("/usr/include/simde").is_dir():
        pytest.skip("SIMDe is not installed (Debian: libsimde-dev)")
    kernels = NATIVE / "kernels"
    avx2 = ["-mavx2", "-mfma", "-mf16c"]
    sources = [(CHECK, avx2), (kernels / "maxsim_scalar.cpp", []), (kernels / file, avx2)]
    if name == "avx512":
        sources.append((kernels / "maxsim_avx2.cpp", avx2))
    flags = [f"-D{define}=1", "-DPOLYVEC_SIMDE=1", "-Wno-psabi"]
    printed = run(build(tmp_path, name, sources, flags), "100")
    assert printed.strip().endswith(f"= {name}") or f"= {name} " in printed
