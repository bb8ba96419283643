"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, in buffers of exactly the right size; threads under
ThreadSanitizer.

Assembly is not built here, since sanitizers cannot see into it; its twin in intrinsics is. AVX-512 and NEON kernels run here on
any x86 machine through SIMDe (Debian: libsimde-dev), which carries out their intrinsics one by one.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "native"
CHECKS = Path(__file__).parent
COMPILE = ["-std=c++20", "-O1", "-g", "-ffp-contract=off", "-pthread"]
SANITIZE = [*COMPILE, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SANITIZE_THREADS = [*COMPILE, "-fsanitize=thread"]
X86 = platform.machine() in ("x86_64", "AMD64")


def build(
    folder: Path, name: str, sources: list[tuple[Path, list[str]]], flags: list[str], sanitize: list[str] = SANITIZE
) -> Path:
    """Compile each source with its own flags, link, and return the program; skip where the compiler cannot."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    probe = folder / "probe.cpp"
    probe.write_text("int main() { return 0; }\n", encoding="utf-8")
    if subprocess.run(
        [compiler, *sanitize, str(probe), "-o", str(folder / "probe")], capture_output=True, check=False
    ).returncode:
        pytest.skip("the compiler has no sanitizer runtime")
    objects = [folder / f"{name}-{source.stem}.o" for source, _ in sources]
    commands = [
        [compiler, *sanitize, *flags, *own, f"-I{NATIVE}", "-c", str(source), "-o", str(object_file)]
        for (source, own), object_file in zip(sources, objects, strict=True)
    ]
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(
            lambda command: subprocess.run(command, capture_output=True, text=True, check=False), commands
        ):
            assert done.returncode == 0, done.stderr
    program = folder / name
    subprocess.run([compiler, *sanitize, *map(str, objects), "-o", str(program)], check=True)
    return program


def run(program: Path, *arguments: str) -> str:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
MORE = {"neon": ["dotprod"], "avx512": ["avxvnni"]}  # instruction sets that come with another
FAMILIES = {
    "maxsim": (["maxsim"], []),
    "codes": (
        ["codes", "assign", "quantize"],
        ["kernels/probe", "kernels/candidate_generation", "candidates", "parallel"],
    ),
    "encoder": (["encoder"], ["forward", "parallel"]),
}
CASES = {"encoder": 60}  # a case is a whole forward pass


@pytest.mark.skipif(not X86, reason="x86 kernels")
@pytest.mark.parametrize("check", FAMILIES)
def test_avx2(tmp_path: Path, check: str) -> None:
    kernels = NATIVE / "kernels"
    families, plain = FAMILIES[check]
    sources = [(CHECKS / f"check_{check}.cpp", []), *((NATIVE / f"{name}.cpp", []) for name in [*plain, "kernels/x86"])]
    for family in families:
        vnni = ["-mavx512vnni"] if family in ("codes", "encoder") else []
        sources += [
            (kernels / f"{family}_scalar.cpp", []),
            (kernels / f"{family}_avx2.cpp", AVX2),
            (kernels / f"{family}_avx512.cpp", [*AVX512, *vnni]),
        ]
    cases = CASES.get(check, 300)
    printed = run(build(tmp_path, "avx2", sources, ["-DPOLYVEC_X86=1"]), str(cases))
    assert printed.startswith(f"{cases} cases, scalar")


@pytest.mark.heavy  # six programs to compile, most of them slowly
@pytest.mark.skipif(not X86, reason="SIMDe stands in for other instruction sets on x86")
@pytest.mark.parametrize("check", FAMILIES)
@pytest.mark.parametrize(("name", "define"), [("avx512", "POLYVEC_X86"), ("neon", "POLYVEC_NEON")])
def test_other_instruction_sets_through_simde(tmp_path: Path, name: str, define: str, check: str) -> None:
    if not Path("/usr/include/simde").is_dir():
        pytest.skip("SIMDe is not installed (Debian: libsimde-dev)")
    kernels = NATIVE / "kernels"
    families, plain = FAMILIES[check]
    sources = [(CHECKS / f"check_{check}.cpp", AVX2), *((NATIVE / f"{part}.cpp", []) for part in plain)]
    for family in families:
        sources.append((kernels / f"{family}_scalar.cpp", []))
        for part in (name, *MORE.get(name, ())):
            if (own := kernels / f"{family}_{part}.cpp").exists():
                sources.append((own, AVX2))
        if name == "avx512":
            sources.append((kernels / f"{family}_avx2.cpp", AVX2))
    flags = [f"-D{define}=1", "-DPOLYVEC_SIMDE=1", "-Wno-psabi"]
    printed = run(build(tmp_path, name, sources, flags), str(CASES.get(check, 300) // 3))
    assert f"= {name}" in printed


def test_threads(tmp_path: Path) -> None:
    kernels = NATIVE / "kernels"
    plain = ["kernels/codes_scalar", "kernels/probe", "kernels/candidate_generation", "candidates", "parallel"]
    sources: list[tuple[Path, list[str]]] = [
        (CHECKS / "check_threads.cpp", []), *((NATIVE / f"{name}.cpp", []) for name in plain)
    ]  # fmt: skip
    flags = []
    if X86:
        flags = ["-DPOLYVEC_X86=1"]
        sources += [(kernels / "x86.cpp", []), (kernels / "codes_avx2.cpp", AVX2)]
    elif platform.machine() in ("aarch64", "arm64"):
        flags = ["-DPOLYVEC_NEON=1"]
        sources.append((kernels / "codes_neon.cpp", []))
    program = build(tmp_path, "threads", sources, flags, SANITIZE_THREADS)
    started = subprocess.run([str(program), "0"], capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in started.stderr:
        pytest.skip("the thread sanitizer cannot run under this kernel's address space layout")
    assert "agree" in run(program, "5")
