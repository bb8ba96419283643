"""MaxSim: every kernel equals the definition, to the bit among themselves, for any input."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyvec
from polyvec.errors import InputError
from polyvec.index import kernels
from polyvec.scoring import available_kernels, default_threads, maxsim, maxsim_definition, maxsim_packed


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A query, packed tokens and offsets: any dims, lengths down to 0, ties and negatives included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dim = draw(st.sampled_from([1, 3, 7, 8, 16, 31, 33, 96, 128, 130]))
    q = draw(st.sampled_from([1, 2, 15, 16, 17, 32, 33, 65]))
    lengths = draw(st.lists(st.sampled_from([0, 1, 2, 5, 6, 7, 12, 13, 40]), min_size=1, max_size=8))
    levels = draw(st.sampled_from([3, 1000]))  # few levels make ties
    tokens = (rng.integers(-levels, levels + 1, (sum(lengths), dim)) / levels).astype(np.float32)
    query = (rng.integers(-levels, levels + 1, (q, dim)) / levels).astype(np.float32)
    if draw(st.booleans()):
        tokens, query = -np.abs(tokens), np.abs(query)  # every similarity negative
    return query, tokens, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("kernel", available_kernels())
@settings(max_examples=60, deadline=None)
@given(case=collections(), threads=st.sampled_from([1, 3]))
def test_every_kernel_matches_the_definition(kernel: str, dtype: type, case: tuple, threads: int) -> None:
    query, tokens, offsets = case
    tokens = tokens.astype(dtype)
    scores = maxsim_packed(query, tokens, offsets, threads=threads, kernel=kernel)
    wide = tokens.astype(np.float64)
    for i, score in enumerate(scores):
        rows = wide[offsets[i] : offsets[i + 1]]
        expected = maxsim_definition(query.astype(np.float64), rows) if len(rows) else 0.0
        assert score == pytest.approx(expected, rel=1e-5, abs=1e-4)
    assert scores.tobytes() == maxsim_packed(query, tokens, offsets, threads=1, kernel="scalar").tobytes()


@pytest.mark.parametrize("kernel", available_kernels())
def test_half_precision_is_read_right_for_every_bit_pattern(kernel: str) -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 1)
    offsets = np.arange(len(finite) + 1, dtype=np.int64)
    for repeat in (1, 16):  # one by one, and through the wide conversion
        tokens = np.repeat(finite, repeat, axis=1)
        query = np.zeros((1, repeat), np.float32)
        query[0, -1] = 1
        assert np.array_equal(maxsim_packed(query, tokens, offsets, kernel=kernel), finite[:, 0].astype(np.float32))


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["query", "document"])
def test_what_is_not_finite_never_hides(kernel: str, bad: float, place: str) -> None:
    rng = np.random.default_rng(0)
    query, tokens = rng.standard_normal((5, 9), dtype=np.float32), rng.standard_normal((14, 9), dtype=np.float32)
    (query if place == "query" else tokens)[3, 2] = bad
    scores = maxsim_packed(query, tokens, np.array([0, 2, 10, 14]), kernel=kernel)
    assert np.isnan(scores).tolist() == ([True] * 3 if place == "query" else [False, True, False])


@pytest.mark.parametrize("kernel", available_kernels())
def test_a_subset_is_scored_in_the_order_asked_for(kernel: str) -> None:
    rng = np.random.default_rng(1)
    query, tokens = rng.standard_normal((4, 8), dtype=np.float32), rng.standard_normal((20, 8), dtype=np.float32)
    offsets = np.array([0, 3, 3, 11, 20])
    whole = maxsim_packed(query, tokens, offsets, kernel=kernel)
    which = np.array([3, 0, 1, 3])
    assert np.array_equal(maxsim_packed(query, tokens, offsets, which=which, threads=2, kernel=kernel), whole[which])


def test_many_threads_change_nothing() -> None:
    rng = np.random.default_rng(2)
    lengths = rng.integers(0, 60, 700)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = rng.standard_normal((offsets[-1], 24), dtype=np.float32)
    query = rng.standard_normal((32, 24), dtype=np.float32)
    one = maxsim_packed(query, tokens, offsets, threads=1)
    for threads in (2, 5, 16):
        assert maxsim_packed(query, tokens, offsets, threads=threads).tobytes() == one.tobytes()
    assert maxsim_packed(query, tokens, offsets, threads=2**40).tobytes() == one.tobytes()
    for threads in (0, -1):
        with pytest.raises(InputError, match=f"threads={threads}: expected at least 1"):
            maxsim_packed(query, tokens, offsets, threads=threads)


def test_any_layout_and_dtype() -> None:
    rng = np.random.default_rng(3)
    query, documents = rng.standard_normal((4, 6)), [rng.standard_normal((n, 6)) for n in (2, 5)]
    expected = [maxsim_definition(query, d) for d in documents]
    assert maxsim(query, documents) == pytest.approx(expected, rel=1e-5)
    assert maxsim(query, [np.asfortranarray(d) for d in documents]) == pytest.approx(expected, rel=1e-5)
    assert maxsim(query[::-1], [np.repeat(d, 2, axis=0)[::2] for d in documents]) == pytest.approx(expected, rel=1e-5)
    assert maxsim(query.tolist(), np.stack([documents[0]] * 2)) == pytest.approx([expected[0]] * 2, rel=1e-5)
    assert maxsim(query, []).shape == (0,)


def test_torch_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    query, document = torch.eye(3), torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.25, -1.0]])
    assert maxsim(query, [document, document.half()]).tolist() == [0.75, 0.75]
    assert maxsim(query, [document.bfloat16(), document.requires_grad_()]).tolist() == [0.75, 0.75]
    with pytest.raises(InputError, match="document 0: Tensor that NumPy cannot read"):
        maxsim(query, [document.detach().to("meta")])


@pytest.mark.parametrize(
    ("query", "documents", "message"),
    [
        (np.ones(3), [np.ones((1, 3))], r"query: shape \(3,\)"),
        (np.ones((0, 3)), [np.ones((1, 3))], "query: shape"),
        (np.ones((1, 3)), [np.ones((1, 3)), np.ones((0, 3))], "document 1: shape"),
        (np.ones((1, 3)), [np.ones((1, 4))], "document 0: dim 4, but the query has dim 3"),
        (np.ones((1, 3)), [np.ones((1, 3)), [[1.0, np.nan, 0.0]]], "document 1: NaN or infinity in row 0"),
        (np.full((1, 3), np.inf), [np.ones((1, 3))], "query: NaN or infinity in row 0"),
        (np.full((1, 2), 1e30), [np.full((1, 2), 1e30)], "overflow"),
        (np.full((1, 2), 1e300), [np.ones((1, 2))], "overflow"),
        ([[1.0, 2.0], [3.0]], [np.ones((1, 2))], "query: list that NumPy cannot read"),
        (np.ones((1, 3)), np.ones((2, 3)), r"document 0: shape \(3,\)"),
        (np.ones((1, 2)), [np.array([["a", "b"]])], "expected numbers"),
    ],
)
def test_bad_input_is_named(query: object, documents: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        maxsim(query, documents)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offsets", "which", "message"),
    [
        ([], None, "offsets: empty"),
        ([0, 3], None, "offsets end after the last"),
        ([1, 2], None, "offsets must begin with 0"),
        ([0, 2, 1], None, "offsets must not decrease"),
        ([0, 2**62], None, "offsets end after the last"),
        ([0, 2], [1], "document number is out of range"),
        ([0, 2], [-1], "document number is out of range"),
    ],
)
def test_bad_packing_never_reaches_a_kernel(offsets: list[int], which: list[int] | None, message: str) -> None:
    chosen = None if which is None else np.array(which)
    with pytest.raises(InputError, match=message):
        maxsim_packed(
            np.ones((1, 4), np.float32), np.ones((2, 4), np.float32), np.array(offsets, np.int64), which=chosen
        )


SCORES_ONE_DOCUMENT = """
import numpy as np
from polyvec.errors import InputError
from polyvec.scoring import maxsim_packed
try:
    print(maxsim_packed(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), np.array([0, 1])).tolist())
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("name", "printed"), [("scalar", "[2.0]"), ("", "[2.0]"), ("mmx", "maxsim: no such kernel on this machine")]
)
def test_kernels_are_chosen_by_environment(name: str, printed: str) -> None:
    """In a process of its own: the variable is read once."""
    done = subprocess.run(
        [sys.executable, "-c", SCORES_ONE_DOCUMENT], env=os.environ | {"POLYVEC_KERNEL": name}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(printed)


def test_an_instruction_set_of_another_family_is_no_mistake() -> None:
    """Encoders have kernels that MaxSim has not, and the other way round."""
    elsewhere = set(kernels.codes_kernels()) - set(available_kernels())
    for name in sorted(elsewhere):
        test_kernels_are_chosen_by_environment(name, "[2.0]")


def test_kernels_are_chosen_by_name() -> None:
    call = (np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), np.array([0, 1]))
    with pytest.raises(InputError, match="no such kernel"):
        maxsim_packed(*call, kernel="mmx")
    assert available_kernels()[-1] == "scalar"
    assert maxsim_packed(*call, kernel="scalar").tolist() == [2.0]
    assert default_threads() >= 1
    with pytest.raises(InputError, match="dtype float64"):
        maxsim_packed(call[0], call[1].astype(np.float64), call[2])


def test_the_public_name_is_the_function() -> None:
    assert polyvec.maxsim is maxsim
