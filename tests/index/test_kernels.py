"""Kernels of the index: every one equals its NumPy definition, for any input, and refuses what does not fit."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.index import definitions, kernels

from . import steps

SIZES = st.integers(0, 12)
SEEDS = st.integers(0, 1 << 30)
NBITS = st.sampled_from([1, 2, 4, 8])
BLOCKS = st.integers(1, 4)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Before hypothesis measures how long a test takes."""
    with contextlib.suppress(pytest.skip.Exception):  # the tests that need it skip themselves
        steps.library()


def coded(seed: int, q: int, doclens: list[int], nbits: int, blocks: int, k: int = 7, code_dtype: type = np.uint16):
    """Arguments of `full_scores_definition`: everything random, extreme values included."""
    rng = np.random.default_rng(seed)
    p, tokens = 32 * blocks, sum(doclens)
    offsets = np.concatenate([[0], np.cumsum(doclens)]).astype(np.int64)
    packed = rng.integers(0, 256, (tokens, p * nbits // 8), dtype=np.uint8)
    if nbits == 8:
        packed[packed == 128] = 127  # -128 is never written
        packed[rng.random(tokens) < 0.1] = 0
    return {
        "query": rng.integers(-127, 128, (q, p)).astype(np.int8),
        "query_scales": rng.random(q).astype(np.float32),
        "centroids": rng.integers(-127, 128, (k, p)).astype(np.int8),
        "levels": rng.integers(-127, 128, (256, 16)).astype(np.int8),
        "codes": rng.integers(0, k, tokens).astype(code_dtype),
        "scales": rng.integers(0, 256, tokens).astype(np.uint8),
        "packed": packed,
        "offsets": offsets,
        "which": rng.permutation(len(doclens)).astype(np.int64),
        "nbits": nbits,
    }


def full_scores(job, **options):
    """`kernels.full_scores` with the arguments of its definition."""
    centroids = job["centroids"]
    codec = kernels.native_codec(
        centroids=centroids, directions=centroids, coarse_centroids=centroids[:1],
        coarse_offsets=np.array([0, len(centroids)], np.int64), levels=job["levels"], step=1 / 127,
        dim=centroids.shape[1], nbits=job["nbits"],
    )  # fmt: skip
    segment = kernels.native_segment(**{name: job[name] for name in ("codes", "scales", "packed", "offsets")})
    return kernels.full_scores(codec, segment, job["query"], job["query_scales"], job["which"], **options)


@pytest.mark.parametrize("kernel", kernels.codes_kernels())
@given(
    SEEDS, st.integers(1, 70), st.lists(st.integers(0, 80), max_size=8), NBITS, BLOCKS, st.booleans(), st.integers(1, 3)
)
@settings(max_examples=60)
def test_full_scores_are_their_definition(kernel, seed, q, doclens, nbits, blocks, wide, threads):
    job = coded(seed, q, doclens, nbits, blocks, code_dtype=np.uint32 if wide else np.uint16)
    expected = definitions.full_scores_definition(**job)
    found = full_scores(job, threads=threads, kernel=kernel)
    assert found.tobytes() == expected.tobytes()


def approximated(job, seed: int):
    """Arguments of `approximate_scores_definition`: those of full scores, and some of the centroids."""
    rng = np.random.default_rng(seed)
    share = rng.choice([0.0, 0.3, 1.0])
    return job | {
        "near": (rng.random(len(job["centroids"])) < share).astype(np.uint8),
        "imputed": rng.normal(size=len(job["query"])).astype(np.float32) * 300,
    }


@pytest.mark.parametrize("kernel", kernels.codes_kernels())
@given(SEEDS, st.integers(1, 70), st.lists(st.integers(0, 80), max_size=80), NBITS, BLOCKS, st.booleans())
@settings(max_examples=60)
def test_approximate_scores_are_their_definition(kernel, seed, q, doclens, nbits, blocks, wide):
    job = approximated(coded(seed, q, doclens, nbits, blocks, code_dtype=np.uint32 if wide else np.uint16), seed)
    expected = definitions.approximate_scores_definition(**job)
    assert steps.approximate_scores(**job, kernel=kernel).tobytes() == expected.tobytes()


@given(SEEDS, st.integers(0, 20), st.integers(1, 140), st.booleans())
def test_rotation_is_its_definition(seed, n, d, forward):
    rng = np.random.default_rng(seed)
    rows, signs = rng.normal(size=(n, d)).astype(np.float32), rng.choice(np.array([-1, 1], np.float32), (3, d))
    expected = definitions.rotate_definition(rows, signs, forward=forward)
    kernels.rotate(rows, signs, forward=forward)
    assert rows.tobytes() == expected.tobytes()


def test_rotation_on_several_threads():
    rng = np.random.default_rng(4)
    rows, signs = rng.normal(size=(3000, 48)).astype(np.float32), rng.choice(np.array([-1, 1], np.float32), (3, 48))
    expected = definitions.rotate_definition(rows, signs, forward=True)
    kernels.rotate(rows, signs, forward=True, threads=3)
    assert rows.tobytes() == expected.tobytes()


@given(SEEDS, st.integers(1, 40), NBITS)
def test_packing_can_be_undone(seed, n, nbits):
    codes = np.random.default_rng(seed).integers(0, 1 << nbits, (n, 64)).astype(np.uint8)
    assert np.array_equal(kernels.unpack_codes(kernels.pack_codes(codes, nbits), nbits), codes)


def test_a_token_of_zeros_scores_zero_and_an_empty_document_too():
    job = coded(0, 3, [2, 0], 8, 1)
    job["packed"][:] = 0
    assert full_scores(job).tolist() == [0, 0]


@pytest.mark.parametrize("kernel", kernels.codes_kernels())
@pytest.mark.parametrize(("query", "token"), [(-127, 127), (127, 127), (-128, -127), (-128, 127)])
def test_no_sum_leaves_int32_at_the_most_dimensions(kernel, query, token):
    """The largest products there are, all of one sign; exact in float64."""
    p = kernels.MAX_DIM
    job = coded(0, 1, [9], 8, p // 32) | {"query": np.full((1, p), query, np.int8)}
    job["packed"][:] = np.array(token, np.int8).view(np.uint8)
    dot, length = float(query * token * p), np.float32(np.sqrt(np.float32(token * token * p)))
    found = full_scores(job, kernel=kernel)
    assert found == job["query_scales"][0] * (np.float32(dot) * (np.float32(1) / length))


def test_more_dimensions_are_refused():
    with pytest.raises(ValueError, match="65,536 dimensions at most"):
        full_scores(coded(0, 1, [1], 8, kernels.MAX_DIM // 32 + 1))


def test_documents_may_be_every_other_entry_of_an_array():
    job = coded(0, 2, [3, 2, 4], 4, 1)
    everything = full_scores(job | {"which": np.arange(3)})
    assert full_scores(job | {"which": np.arange(6)[:6:2] // 2}).tolist() == everything.tolist()
    assert full_scores(job | {"which": np.array([0, 9, 2, 9])[::2]}).tolist() == everything[[0, 2]].tolist()


OUT_OF_RANGE = [
    ("which", np.array([2])),
    ("which", np.array([-1])),
    ("codes", np.full(5, 7, np.uint16)),
    ("offsets", np.array([0, 3, 9])),
    ("offsets", np.array([0, -3, 5])),
    ("offsets", np.array([4, 3, 5])),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
@pytest.mark.parametrize("kernel", kernels.codes_kernels())
def test_scoring_refuses_numbers_that_are_out_of_range(name, value, kernel):
    job = coded(0, 2, [3, 2], 4, 1) | {"which": np.array([0, 1])} | {name: value}
    with pytest.raises(ValueError, match="range"):
        full_scores(job, kernel=kernel)
    with pytest.raises(ValueError, match="range"):
        steps.approximate_scores(**approximated(job, 1), kernel=kernel)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nbits", 3),
        ("query", np.zeros((2, 31), np.int8)),
        ("levels", np.zeros((256, 4), np.int8)),
        ("scales", np.zeros(4, np.uint8)),
        ("packed", np.zeros((5, 8), np.uint8)),
        ("query_scales", np.zeros(1, np.float32)),
    ],
)
def test_scoring_refuses_shapes_that_do_not_fit(name, value):
    with pytest.raises(ValueError, match=r"must|differ"):
        full_scores(coded(0, 2, [3, 2], 4, 1) | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("codes", np.zeros(5, np.int64)), ("query", np.zeros((2, 32))), ("which", np.zeros(1, np.int32))],
)
def test_arrays_of_another_dtype_are_refused_not_converted(name, value):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        full_scores(coded(0, 2, [3, 2], 4, 1) | {name: value})


@pytest.mark.parametrize("kernel", kernels.codes_kernels())
@given(SEEDS, st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=12), BLOCKS, st.data())
@settings(max_examples=60)
def test_probe_is_its_definition(kernel, seed, q, sizes, blocks, data):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    spread = data.draw(st.sampled_from([1, 127]))  # small values make ties

    def rows(n: int) -> kernels.Int8:
        return rng.integers(-spread, spread + 1, (n, 32 * blocks)).astype(np.int8)

    query, coarse_centroids, centroids = rows(q), rows(len(sizes)), rows(sum(sizes))
    nprobe = data.draw(st.integers(1, sum(sizes)))
    coarse_nprobe = data.draw(st.integers(1, len(sizes) + 2))
    weights = rng.integers(0, data.draw(st.sampled_from([600, 1 << 31])), q).astype(np.int32)  # the second overflows
    width = definitions.table_width(q) + 32 * data.draw(st.integers(0, 1))
    table = rng.integers(0, 256, (sum(sizes), width)).astype(np.uint8)
    job = (query, coarse_centroids, offsets, centroids, nprobe, coarse_nprobe)
    expected = definitions.probe_definition(*job)
    for filled in ({}, {"weights": weights, "table": table}):
        found = steps.probe(*job, **filled, kernel=kernel)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])
    assert np.array_equal(table, definitions.table_definition(*job, weights, width))


@given(SEEDS, st.integers(1, 12), st.integers(1, 400), st.integers(1, 20), st.booleans(), st.integers(0, 50))
def test_candidate_generation_is_its_definition(seed, q, documents, centroids, filtered, limit):
    rng = np.random.default_rng(seed)
    lists = [np.sort(rng.permutation(documents)[: rng.integers(0, documents + 1)]) for _ in range(centroids)]
    lengths = np.array([len(one) for one in lists], np.int64)
    stream, starts = kernels.encode_postings(np.concatenate(lists).astype(np.int64), lengths)
    nprobe = int(rng.integers(1, centroids + 1))
    numbers = np.stack([rng.permutation(centroids)[:nprobe] for _ in range(q)]).astype(np.int32)
    most = int(rng.choice([2, 65535 // q]))  # few values make ties
    gains = -np.sort(-rng.integers(0, most + 1, (q, nprobe)), axis=1)
    allowed = rng.integers(0, 2, documents).astype(np.uint8) if filtered else None
    arguments = (numbers, gains.astype(np.uint16), stream, starts, documents, allowed, limit)
    for _ in range(2):  # nothing is left behind
        expected, found = (
            definitions.generate_candidates_definition(*arguments),
            steps.generate_candidates(*arguments),
        )
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


@given(SEEDS, st.sampled_from([65_536, 65_537, 131_000, 200_000]), st.sampled_from([3, 100, 5000]), st.booleans())
@settings(max_examples=25)
def test_candidate_generation_among_many_documents_is_its_definition(seed, documents, limit, filtered):
    """More documents than a tile has, more candidates than stay, long gaps and lists that end early."""
    rng = np.random.default_rng(seed)
    lists = [
        np.unique(rng.integers(0, int(rng.integers(1, documents + 1)), int(rng.integers(0, 4000)))) for _ in range(8)
    ]
    lists[0] = np.append(lists[0][lists[0] < documents - 1], documents - 1)
    stream, starts = kernels.encode_postings(
        np.concatenate(lists).astype(np.int64), np.array([len(one) for one in lists], np.int64)
    )
    numbers = np.stack([rng.permutation(8)[:4] for _ in range(5)]).astype(np.int32)
    numbers[0] = np.arange(4)  # the list with the last document among them
    gains = -np.sort(-rng.integers(0, int(rng.choice([3, 13_000])), (5, 4)), axis=1)
    allowed = rng.integers(0, 2, documents).astype(np.uint8) if filtered else None
    arguments = (numbers, gains.astype(np.uint16), stream, starts, documents, allowed, limit)
    expected, found = definitions.generate_candidates_definition(*arguments), steps.generate_candidates(*arguments)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    with pytest.raises(ValueError, match=r"damaged|range"):
        steps.generate_candidates(*arguments[:4], documents - 1, None, limit)
    again = steps.generate_candidates(*arguments)  # what failed left nothing behind
    assert np.array_equal(again[0], expected[0])


def interacting(seed: int, doclens: list[int], columns: int, code_dtype: type = np.uint16):
    """Arguments of `centroid_interaction_definition`."""
    rng = np.random.default_rng(seed)
    return {
        "table": rng.integers(0, 256, (9, 32 * columns)).astype(np.uint8),
        "codes": rng.integers(0, 9, sum(doclens)).astype(code_dtype),
        "offsets": np.concatenate([[0], np.cumsum(doclens)]).astype(np.int64),
        "which": rng.permutation(len(doclens)).astype(np.int64),
    }


@pytest.mark.parametrize("kernel", kernels.codes_kernels())
@given(SEEDS, st.lists(st.integers(0, 80), max_size=80), st.integers(1, 3), st.booleans())
def test_centroid_interaction_is_its_definition(kernel, seed, doclens, columns, wide):
    job = interacting(seed, doclens, columns, np.uint32 if wide else np.uint16)
    assert np.array_equal(
        steps.centroid_interaction(**job, kernel=kernel),
        definitions.centroid_interaction_definition(**job),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("which", np.array([2])),
        ("which", np.array([-1])),
        ("codes", np.full(5, 9, np.uint16)),
        ("offsets", np.array([0, 3, 9])),
        ("offsets", np.array([0, -3, 5])),
    ],
)
def test_centroid_interaction_refuses_numbers_that_are_out_of_range(name, value):
    job = interacting(0, [3, 2], 1) | {"which": np.array([0, 1])}
    for kernel in kernels.codes_kernels():
        with pytest.raises(ValueError, match="range"):
            steps.centroid_interaction(**job | {name: value}, kernel=kernel)


@pytest.mark.parametrize("kernel", kernels.codes_kernels())
@given(SEEDS, st.integers(0, 40), st.integers(1, 3))
def test_marking_near_centroids_is_its_definition(kernel, seed, centroids, columns):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (centroids, 32 * columns)).astype(np.uint8)
    thresholds = rng.integers(240, 256, 32 * columns).astype(np.uint8)
    found = steps.mark_near(table, thresholds, kernel=kernel)
    assert np.array_equal(found, definitions.mark_near_definition(table, thresholds))


@given(SEEDS, st.lists(st.integers(0, 6), max_size=20), st.sampled_from([40, 1 << 20, 1 << 40]))
def test_postings_can_be_read_back(seed, lengths, largest):
    rng = np.random.default_rng(seed)
    lists = [np.unique(rng.integers(0, largest, n)) for n in lengths]
    stream, starts = kernels.encode_postings(
        np.concatenate([*lists, np.empty(0, np.int64)]).astype(np.int64),
        np.array([len(one) for one in lists], np.int64),
    )
    for i, one in enumerate(lists):
        assert np.array_equal(definitions.decode_postings(stream, starts, i), one)


@pytest.mark.parametrize(
    ("stream", "starts", "number"),
    [
        ([0x80], [0, 1], 0),  # ends inside a number
        ([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], [0, 9], 0),
        ([9], [0, 1], 0),  # no such document
        ([1], [0, 2], 0),
        ([1], [1, 0], 0),
        ([1], [-1, 1], 0),
        ([1], [0, 1], 1),  # no such centroid
        ([1], [0, 1], -1),
    ],
)
def test_damaged_postings_are_noticed(stream, starts, number):
    gains = np.ones((1, 1), np.uint16)
    stream, starts = np.array(stream, np.uint8), np.array(starts)
    with pytest.raises(ValueError, match="out of range"):
        steps.generate_candidates(np.array([[number]], np.int32), gains, stream, starts, 5, None, 3)
    good = (np.array([[0]], np.int32), gains, np.array([1], np.uint8), np.array([0, 1]), 5, None, 3)
    assert steps.generate_candidates(*good)[0].tolist() == [1]  # nothing is left behind


@pytest.mark.parametrize("kernel", kernels.assign_kernels())
@given(SEEDS, st.integers(0, 60), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 40))
@settings(max_examples=60)
def test_assign_is_its_definition(kernel, seed, n, sizes, d):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    groups = rng.integers(0, len(sizes), n).astype(np.int32)
    # whole numbers: sums are exact in any order, and ties are many
    vectors = rng.integers(-3, 4, (n, d)).astype(np.float32)
    centroids = rng.integers(-3, 4, (sum(sizes), d)).astype(np.float32)
    biases = rng.integers(-3, 4, sum(sizes)).astype(np.float32)
    expected = definitions.assign_definition(vectors, groups, centroids, biases, offsets)
    found = kernels.assign(vectors, groups, centroids, biases, offsets, threads=2, kernel=kernel)
    assert np.array_equal(found, expected)


def test_every_assign_kernel_finds_the_same():
    rng = np.random.default_rng(3)
    vectors, centroids = rng.standard_normal((3000, 65), np.float32), rng.standard_normal((900, 65), np.float32)
    groups, offsets = rng.integers(0, 3, 3000).astype(np.int32), np.array([0, 17, 500, 900])
    biases = rng.standard_normal(900, np.float32)
    found = [
        kernels.assign(vectors, groups, centroids, biases, offsets, threads=t, kernel=k)
        for k in kernels.assign_kernels()
        for t in (1, 3)
    ]
    for one in found[1:]:
        assert np.array_equal(one, found[0])


def quantizing(seed: int, n: int, blocks: int):
    """Arguments of quantize: residuals of several lengths, some of them none."""
    rng = np.random.default_rng(seed)
    residuals = (rng.standard_normal((n, 32 * blocks)) * rng.choice([0, 0.01, 1, 9], (n, 1))).astype(np.float32)
    codebook = rng.standard_normal(16).astype(np.float32)
    return residuals, np.geomspace(0.01, 10, 256).astype(np.float32), codebook


@pytest.mark.parametrize("kernel", kernels.quantize_kernels())
@given(SEEDS, st.integers(0, 40), st.sampled_from([1, 2, 4]), BLOCKS)
@settings(max_examples=60)
def test_quantize_is_its_definition(kernel, seed, n, nbits, blocks):
    given_ = quantizing(seed, n, blocks)
    codes, scales = definitions.quantize_definition(*given_, nbits)
    found_scales, packed = kernels.quantize(*given_, nbits, threads=2, kernel=kernel)
    assert np.array_equal(found_scales, scales)
    assert np.array_equal(packed, kernels.pack_codes(codes, nbits))


@pytest.mark.parametrize("nbits", [1, 2])
def test_no_other_codes_of_a_block_are_nearer(nbits):
    residuals, steps, codebook = quantizing(3, 8, 1)
    scales, packed = kernels.quantize(residuals, steps, codebook, nbits)
    rng = np.random.default_rng(4)

    def lost(codes):
        values = steps[scales][:, None] * codebook[kernels.unpack_windows(kernels.pack_codes(codes, nbits), nbits)]
        return ((residuals - values).astype(np.float64) ** 2).sum(axis=1)

    best = kernels.unpack_codes(packed, nbits)
    for _ in range(2000):
        changed = np.where(rng.random(best.shape) < 0.1, rng.integers(0, 1 << nbits, best.shape), best).astype(np.uint8)
        assert (lost(changed) >= lost(best) * (1 - 1e-5)).all()


def test_a_window_is_a_code_and_what_follows():
    packed = np.array([[0b10110100, 0b01, 0, 0b11100000, 0, 0, 0, 0]], np.uint8)
    of_ones = kernels.unpack_windows(packed[:, :4], 1)[0]
    assert [of_ones[dimension] for dimension in (0, 4, 8, 28)] == [0b0100, 0b1010, 0b1101, 0b0011]
    of_twos = kernels.unpack_windows(packed, 2)[0]
    assert [of_twos[dimension] for dimension in (0, 8, 16, 24, 27)] == [0b0100, 0b1101, 0b1011, 0b0110, 0b0011]
    assert np.array_equal(kernels.unpack_windows(np.tile(packed, 2), 4)[:, :8], packed & 15)


def narrowed(seed: int, q: int, documents: list[int], nbits: int, blocks: int, wide: bool, few: bool):
    """Arguments of find_candidates: a codec, segments with some documents masked, a query, and the fields of Narrowing."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, rng.integers(1, 6))
    n_centroids, p, spread = int(sizes.sum()), 32 * blocks, int(rng.choice([1, 127]))  # small values make ties
    rows = {
        name: rng.integers(-spread, spread + 1, (n, p)).astype(np.int8)
        for name, n in {
            "centroids": n_centroids,
            "directions": n_centroids,
            "coarse_centroids": len(sizes),
            "query": q,
        }.items()
    }
    query = rows.pop("query")
    codec = {
        **rows, "levels": rng.integers(-spread, spread + 1, (256, 16)).astype(np.int8), "step": 1 / 127, "nbits": nbits,
        "coarse_offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), "dim": p - int(rng.integers(0, 8)),
    }  # fmt: skip
    segments, masks = [], []
    for count in documents:
        part = rng.integers(0, 12, count).tolist()
        job = coded(int(rng.integers(1 << 30)), q, part, nbits, blocks, n_centroids, np.uint32 if wide else np.uint16)
        numbers = np.repeat(np.arange(len(part)), part)
        lists = [np.unique(numbers[job["codes"] == number]) for number in range(n_centroids)]
        stream, starts = kernels.encode_postings(
            np.concatenate(lists).astype(np.int64), np.array([len(one) for one in lists], np.int64)
        )
        named = {name: job[name] for name in ("codes", "scales", "packed", "offsets")}
        segments.append({**named, "stream": stream, "starts": starts})
        masks.append(rng.integers(0, 2, len(part)).astype(np.uint8) if rng.random() < 0.5 else None)
    k, fully_scored, approximately_scored, generated = np.cumsum(rng.integers(1, 4 if few else 40, 4)).tolist()
    margins = [float(rng.choice([np.inf, 0.3, 3.0])) for _ in range(3)]
    fields = {
        "k": k, "nprobe": int(rng.integers(1, n_centroids + 1)), "coarse_nprobe": int(rng.integers(1, len(sizes) + 2)),
        "generation_imputed": 0.95, "near": float(rng.choice([0.9, 1.0])), "approximate_imputed": 0.85,
        "length_penalty": float(rng.choice([0.0, 0.01])), "generated": generated,
        "approximately_scored": approximately_scored, "fully_scored": fully_scored, "generation_margin": margins[0],
        "interaction_margin": margins[1], "approximate_margin": margins[2],
    }  # fmt: skip
    return codec, segments, masks, query, rng.random(q).astype(np.float32), fields


@pytest.mark.parametrize("kernel", kernels.codes_kernels())
@given(
    SEEDS,
    st.integers(1, 40),
    st.lists(st.integers(0, 60), min_size=1, max_size=3),
    NBITS,
    BLOCKS,
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
)
@settings(max_examples=60)
def test_finding_candidates_is_its_definition(kernel, seed, q, documents, nbits, blocks, wide, few, threads):
    codec, segments, masks, query, scales, fields = narrowed(seed, q, documents, nbits, blocks, wide, few)
    narrowing = kernels.Narrowing(**fields)
    expected = definitions.find_candidates_definition(
        **codec, segments=segments, masks=masks, query=query, query_scales=scales, narrowing=narrowing
    )
    opened = kernels.native_codec(**codec)
    found = kernels.find_candidates(
        opened, [kernels.native_segment(**one) for one in segments], masks, query, scales, narrowing, threads=threads,
        kernel=kernel,
    )  # fmt: skip
    assert [part.tolist() for part in found] == [part.tolist() for part in expected]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("codec", {"dim": 33}, "dim must be from 1"),
        ("codec", {"coarse_offsets": np.array([0, 1])}, "coarse_offsets|offsets"),
        ("codec", {"step": 0.0}, "step"),
        ("segment", {"starts": np.array([0, 0])}, "starts"),
        ("segment", {"scales": np.zeros(1, np.uint8)}, "one entry a token"),
        ("segment", {"starts": None}, "stream and starts"),
        ("segment", {"starts": None, "stream": None}, "scored whole"),
        ("mask", {}, "mask"),
        ("narrowing", {"nprobe": 1000}, "nprobe"),
        ("narrowing", {"approximately_scored": 1, "fully_scored": 2}, "approximately_scored"),
        ("narrowing", {"near": 0.0}, "near"),
        ("query", {}, "dim"),
    ],
)
def test_finding_candidates_refuses_what_does_not_fit(part, change, message):
    codec, segments, masks, query, scales, fields = narrowed(3, 4, [3], 4, 1, False, True)
    if part == "mask":
        masks = [np.ones(2, np.uint8)]
    if part == "query":
        query = np.ones((4, 64), np.int8)
    with pytest.raises(ValueError, match=message):
        kernels.find_candidates(
            kernels.native_codec(**(codec | change if part == "codec" else codec)),
            [kernels.native_segment(**(segments[0] | change if part == "segment" else segments[0]))],
            masks, query, scales, kernels.Narrowing(**(fields | change if part == "narrowing" else fields)),
        )  # fmt: skip


def test_a_damaged_segment_is_named():
    codec, segments, _, query, scales, fields = narrowed(3, 4, [3, 5], 4, 1, False, True)
    segments[1]["codes"][:] = 60_000
    with pytest.raises(kernels.DamagedSegmentError, match="out of range") as caught:
        kernels.find_candidates(
            kernels.native_codec(**codec), [kernels.native_segment(**one) for one in segments], [None, None], query,
            scales, kernels.Narrowing(**fields | {"nprobe": len(codec["centroids"])}),
        )  # fmt: skip
    assert caught.value.segment == 1


@given(SEEDS, st.integers(0, 200), st.integers(1, 70), st.integers(1, 9), st.integers(1, 3))
def test_cluster_sums_are_their_definition(seed, n, d, clusters, threads):
    rng = np.random.default_rng(seed)
    vectors, nearest = rng.standard_normal((n, d)).astype(np.float32), rng.integers(0, clusters, n)
    found = kernels.cluster_sums(vectors, nearest, clusters, threads=threads)
    assert found.tobytes() == definitions.cluster_sums_definition(vectors, nearest, clusters).tobytes()


@pytest.mark.parametrize("nearest", [np.array([0, 3]), np.array([-1, 0]), np.array([0])])
def test_cluster_sums_refuse_clusters_that_are_not_there(nearest):
    with pytest.raises(ValueError, match=r"range|one entry"):
        kernels.cluster_sums(np.ones((2, 4), np.float32), nearest, 3)
