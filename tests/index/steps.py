"""Each step of a search by itself, on the kernels, for comparison with its definition.

The package runs the steps together, in one native call, and binds none of them alone. So tests compile them into a small library
(tests/native/steps.cpp), and call it through ctypes with the structs of native/kernels. Arguments and results are those of the
functions in polyvec.index.definitions.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NATIVE = Path(__file__).parents[2] / "native"
SOURCE = Path(__file__).parents[1] / "native" / "steps.cpp"
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni"]

Array = np.ndarray[Any, Any]


def _struct(**fields: Any) -> type[ctypes.Structure]:
    return type("Struct", (ctypes.Structure,), {"_fields_": list(fields.items())})


_pointer, _size = ctypes.c_void_p, ctypes.c_size_t
CodecView = _struct(
    centroids=_pointer, directions=_pointer, coarse_centroids=_pointer, coarse_offsets=_pointer, levels=_pointer,
    n_centroids=_size, n_coarse_centroids=_size, p=_size, dim=_size, step=ctypes.c_double, nbits=ctypes.c_uint,
)  # fmt: skip
SegmentView = _struct(
    codes=_pointer, code_bytes=_size, scales=_pointer, packed=_pointer, offsets=_pointer, n_tokens=_size, n_documents=_size
)  # fmt: skip
PostingsView = _struct(stream=_pointer, stream_size=_size, starts=_pointer, n_centroids=_size)
QueryView = _struct(rows=_pointer, scales=_pointer, q=_size, p=_size)
ScoreBytes = _struct(weights=_pointer, bytes=_pointer, stride=_size)
CentroidScores = _struct(bytes=_pointer, n_centroids=_size, stride=_size)
CentroidInteractionJob = _struct(scores=CentroidScores, segment=SegmentView, documents=_pointer, sums=_pointer)
Approximation = _struct(near=_pointer, imputed=_pointer)
CandidateGenerationJob = _struct(
    centroids=_pointer, gains=_pointer, q=_size, nprobe=_size, postings=PostingsView, n_documents=_size, allowed=_pointer,
    limit=_size,
)  # fmt: skip


@functools.cache
def library() -> Any:
    """The compiled steps; skips a test where there is no compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    folder = Path(tempfile.mkdtemp(prefix="polyvec-steps-"))
    kernels = NATIVE / "kernels"
    sources: list[tuple[Path, list[str]]] = [
        (SOURCE, []), *((kernels / f"{name}.cpp", []) for name in ("probe", "candidate_generation", "codes_scalar"))
    ]  # fmt: skip
    defines: list[str] = []
    if platform.machine() in ("x86_64", "AMD64"):
        defines = ["-DPOLYVEC_X86=1"]
        sources += [
            (kernels / "x86.cpp", []),
            (kernels / "codes_avx2.cpp", AVX2),
            (kernels / "codes_avx512.cpp", AVX512),
        ]
    elif platform.machine() in ("aarch64", "arm64"):
        defines = ["-DPOLYVEC_NEON=1"]
        sources.append((kernels / "codes_neon.cpp", []))
    flags = ["-std=c++20", "-O1", "-fPIC", "-ffp-contract=off", "-w", f"-I{NATIVE}", *defines]
    commands = [
        [compiler, *flags, *own, "-c", str(source), "-o", str(folder / f"{source.stem}.o")] for source, own in sources
    ]
    link = [compiler, "-shared", *(str(folder / f"{source.stem}.o") for source, _ in sources)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda command: subprocess.run(command, check=True), commands))
    subprocess.run([*link, "-o", str(folder / "steps.so")], check=True)
    loaded = ctypes.CDLL(str(folder / "steps.so"))
    shutil.rmtree(folder)  # it stays mapped
    loaded.polyvec_centroid_interaction.restype = ctypes.c_bool
    loaded.polyvec_approximate_scores.restype = ctypes.c_bool
    loaded.polyvec_generate_candidates.restype = ctypes.c_ssize_t
    return loaded


def _at(array: Array | None) -> int | None:
    return None if array is None else array.ctypes.data


def _segment(codes: Array, offsets: Array, scales: Array | None = None, packed: Array | None = None) -> Any:
    return SegmentView(
        codes=_at(codes), code_bytes=codes.itemsize, scales=_at(scales), packed=_at(packed), offsets=_at(offsets),
        n_tokens=len(codes), n_documents=len(offsets) - 1,
    )  # fmt: skip


def _check(sound: bool) -> None:
    if not sound:
        raise ValueError("a number is out of range")


def probe(
    query: Array,
    coarse_centroids: Array,
    coarse_offsets: Array,
    centroids: Array,
    nprobe: int,
    coarse_nprobe: int,
    *,
    weights: Array | None = None,
    table: Array | None = None,
    kernel: str = "",
) -> tuple[Array, Array]:
    """As `probe_definition`; with weights and table, the table is filled as `table_definition` has it."""
    numbers, dots = (np.empty((len(query), nprobe), np.int32) for _ in range(2))
    codec = CodecView(
        directions=_at(centroids), coarse_centroids=_at(coarse_centroids), coarse_offsets=_at(coarse_offsets),
        n_centroids=len(centroids), n_coarse_centroids=len(coarse_centroids), p=query.shape[1], dim=query.shape[1],
    )  # fmt: skip
    asked = QueryView(rows=_at(query), scales=None, q=len(query), p=query.shape[1])
    written = ScoreBytes(weights=_at(weights), bytes=_at(table), stride=0 if table is None else table.shape[1])
    library().polyvec_probe(
        kernel.encode(), ctypes.byref(codec), ctypes.byref(asked), _size(nprobe), _size(coarse_nprobe),
        ctypes.byref(written), _pointer(_at(numbers)), _pointer(_at(dots)),
    )  # fmt: skip
    return numbers, dots


def mark_near(table: Array, thresholds: Array, *, kernel: str = "") -> Array:
    """As `mark_near_definition`."""
    near = np.empty(len(table), np.uint8)
    scores = CentroidScores(bytes=_at(table), n_centroids=len(table), stride=table.shape[1])
    library().polyvec_mark_near(kernel.encode(), ctypes.byref(scores), _pointer(_at(thresholds)), _pointer(_at(near)))
    return near


def centroid_interaction(table: Array, codes: Array, offsets: Array, which: Array, *, kernel: str = "") -> Array:
    """As `centroid_interaction_definition`. Raises ValueError for numbers that are out of range."""
    sums = np.empty(len(which), np.int32)
    job = CentroidInteractionJob(
        scores=CentroidScores(bytes=_at(table), n_centroids=len(table), stride=table.shape[1]),
        segment=_segment(codes, offsets), documents=_at(which), sums=_at(sums),
    )  # fmt: skip
    _check(library().polyvec_centroid_interaction(kernel.encode(), ctypes.byref(job), _size(len(which))))
    return sums


def generate_candidates(
    numbers: Array, gains: Array, stream: Array, offsets: Array, documents: int, allowed: Array | None, limit: int
) -> tuple[Array, Array]:
    """As `generate_candidates_definition`. Raises ValueError for postings that are damaged."""
    rows, scores = np.empty(limit, np.int64), np.empty(limit, np.int32)
    job = CandidateGenerationJob(
        centroids=_at(numbers), gains=_at(gains), q=numbers.shape[0], nprobe=numbers.shape[1], n_documents=documents,
        postings=PostingsView(
            stream=_at(stream), stream_size=len(stream), starts=_at(offsets), n_centroids=len(offsets) - 1
        ),
        allowed=_at(allowed), limit=limit,
    )  # fmt: skip
    found = library().polyvec_generate_candidates(ctypes.byref(job), _pointer(_at(rows)), _pointer(_at(scores)))
    _check(found >= 0)
    return rows[:found], scores[:found]


def approximate_scores(
    query: Array,
    query_scales: Array,
    near: Array,
    imputed: Array,
    centroids: Array,
    levels: Array,
    codes: Array,
    scales: Array,
    packed: Array,
    offsets: Array,
    which: Array,
    nbits: int,
    *,
    kernel: str = "",
) -> Array:
    """As `approximate_scores_definition`. Raises ValueError for numbers that are out of range."""
    found = np.empty(len(which), np.float32)
    codec = CodecView(
        centroids=_at(centroids), levels=_at(levels), n_centroids=len(centroids), p=query.shape[1], dim=query.shape[1],
        nbits=nbits,
    )  # fmt: skip
    segment = _segment(codes, offsets, scales, packed)
    asked = QueryView(rows=_at(query), scales=_at(query_scales), q=len(query), p=query.shape[1])
    approximation = Approximation(near=_at(near), imputed=_at(imputed))
    sound = library().polyvec_approximate_scores(
        kernel.encode(), ctypes.byref(codec), ctypes.byref(segment), ctypes.byref(asked), ctypes.byref(approximation),
        _pointer(_at(which)), _size(len(which)), _pointer(_at(found)),
    )  # fmt: skip
    _check(sound)
    return found
