"""Token vectors as they come in: any layout and scale gives the same unit rows, or is refused with the array and the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.encoder import Encoded
from polyvec.errors import InputError
from polyvec.index.writing.vectors import checked_vectors
from tests.conftest import WordEncoder

DIM = 8


def unit(seed: int, tokens: int = 3) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((tokens, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def checked(array: Any) -> np.ndarray:
    return checked_vectors(array, dim=DIM, name="it")


@given(seed=st.integers(0, 99), exponent=st.integers(-30, 30))
def test_rows_become_unit_rows_whatever_their_length(seed: int, exponent: int) -> None:
    rows = unit(seed)
    scales = np.array([10.0**exponent, 1.0, 3.0])[:, None]
    found = checked(rows * scales)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found == pytest.approx(rows, abs=2e-7)
    assert found[1].tobytes() == rows[1].tobytes(), "a unit row has changed"
    assert checked(found).tobytes() == found.tobytes(), "a second check changes what the first one gave"


@given(seed=st.integers(0, 99))
def test_unit_rows_stay_the_same_to_the_bit_in_either_precision(seed: int) -> None:
    rows = unit(seed)
    half = rows.astype(np.float16)
    assert checked(rows) is rows
    assert checked(half).tobytes() == half.astype(np.float32).tobytes()
    assert checked(rows.astype(np.float64)).tobytes() == rows.tobytes()


def test_any_layout_is_taken() -> None:
    rows = unit(1, 4)
    masked = np.ma.masked_array(rows, mask=False)
    for given_rows in (
        rows.tolist(),
        list(rows),
        np.asfortranarray(rows),
        np.repeat(rows, 2, axis=0)[::2],
        masked,
        rows.astype(">f4"),
    ):
        found = checked(given_rows)
        assert found.tobytes() == rows.tobytes()
        assert type(found) is np.ndarray
    assert checked([[3] + [0] * 7]).tolist() == [[1.0] + [0.0] * 7]


def test_torch_tensors_are_taken(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rows = torch.from_numpy(unit(2, 4))
    for tensor in (rows, rows.double(), rows.clone().requires_grad_(), rows.T.contiguous().T):
        assert checked(tensor).tobytes() == rows.numpy().tobytes()
    assert checked(rows.bfloat16()) == pytest.approx(rows.numpy(), abs=1e-2)
    with Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors(["a", "b"], torch.stack([rows, rows.flip(1)]))
        assert index.search_vectors(rows) == index.search_vectors(rows.numpy())
        assert index.search_vectors(rows[None]) == index.search_vectors([rows.numpy()])


def test_what_can_be_no_vectors_is_refused() -> None:
    rows = unit(3)
    spoiled = {
        "NaN or infinity in row 1": np.where(np.arange(3)[:, None] == 1, np.nan, rows),
        "NaN or infinity in row 2": np.where(np.arange(3)[:, None] == 2, -np.inf, rows),
        "row 0 has values beyond float32": rows.astype(np.float64) * np.array([[1e300], [1], [1]]),
        "row 1 is all zeros": rows * np.array([[2], [0], [1]]),
        "row 2 is all zeros": rows.astype(np.float64) * np.array([[1], [1], [1e-300]]),
        "dtype complex": rows.astype(complex),
        "dtype bool": rows > 0,
        "dtype object": rows.astype(object),
        "dtype <U": rows.astype(str),
        r"shape \(8,\), expected \(tokens, 8\)": rows[0],
        r"shape \(1, 3, 8\)": rows[None],
        r"shape \(3, 7\)": rows[:, 1:],
        "no token vectors": rows[:0],
        "list that NumPy cannot read": [[1.0] * 8, [1.0] * 7],
        "some of its values are masked": np.ma.masked_array(rows, mask=rows > 0),
        "expected numbers": {"a": 1},
    }
    for message, array in spoiled.items():
        with pytest.raises(InputError, match=f"^it: .*{message}"):
            checked(array)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 30), scale=st.floats(0.01, 1e30))
def test_scores_do_not_depend_on_the_length_of_vectors(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float
) -> None:
    documents = [unit(seed * 100 + i).astype(np.float64) for i in range(4)]
    query = unit(seed * 100 + 50).astype(np.float64)
    found: list[list[Any]] = []
    for factor in (1.0, scale):
        with Index.create(tmp_path_factory.mktemp("v") / "i", dim=DIM) as index:
            index.add_vectors(list("abcd"), [rows * factor for rows in documents])
            found.append(index.search_vectors(query * factor))
    plain, scaled = found
    assert [hit.score for hit in scaled] == pytest.approx([hit.score for hit in plain], abs=2e-3)
    assert all(0 <= hit.normalized_score <= 1 for hit in scaled)


def test_an_array_is_one_query_or_several_by_its_dimensions(tmp_path: Path) -> None:
    queries = [unit(i, 2) for i in range(3)]
    with Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors((name for name in "ab"), (unit(i) for i in (10, 11)))
        one = [index.search_vectors(query) for query in queries]
        for several in (
            queries,
            tuple(queries),
            np.stack(queries),
            [query.tolist() for query in queries],
            iter(queries),
        ):
            assert index.search_vectors(several) == one  # type: ignore[arg-type]
        assert index.search_vectors([]) == index.search_vectors(np.empty((0, 2, DIM))) == []
        with pytest.raises(InputError, match=r"query 0: shape \(8,\).*one array of rows"):
            index.search_vectors(queries[0].tolist())
        for wrong in (np.ones(DIM), np.ones((1, 1, 1, DIM)), np.array(3.0), "ab", {"a": queries[0]}, None, 3):
            with pytest.raises(InputError, match="query"):
                index.search_vectors(wrong)


class BrokenEncoder(WordEncoder):
    """Makes vectors that are not what they have to be, for texts that say so."""

    def _encode(self, text: str, limit: int) -> Encoded:
        encoded = super()._encode(text, limit)
        if "broken" in text:
            encoded.vectors[0] = np.nan
        elif "long" in text:
            return Encoded(encoded.vectors * 5, encoded.token_ids, encoded.offsets, encoded.truncated)
        return encoded


def test_what_an_encoder_makes_is_checked_too(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=BrokenEncoder()) as index:
        index.add([{"id": "a", "text": "long words"}])
        assert index.search("long")[0].score == pytest.approx(1, abs=1e-2)
        with pytest.raises(InputError, match="encoder made of document 'c': NaN or infinity in row 0"):
            index.add([{"id": "b", "text": "fine"}, {"id": "c", "text": "broken"}])
        with pytest.raises(InputError, match="encoder made of query 1: NaN or infinity in row 0"):
            index.search(["fine", "broken"])
        assert len(index) == 1


def test_a_generator_may_fill_one_array_again_and_again(tmp_path: Path) -> None:
    buffer = np.empty((2, DIM), np.float32)

    def filled() -> Any:
        for seed in range(200):
            buffer[:] = unit(seed, 2)
            yield buffer

    with Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors(range(200), filled())
        for seed in (0, 63, 64, 199):
            (hit,) = index.search_vectors(unit(seed, 2), k=1)
            assert (hit.id, hit.normalized_score) == (str(seed), pytest.approx(1, abs=1e-3))  # type: ignore[union-attr]


@given(bad=st.integers(0, 149), kind=st.sampled_from(["nan", "zero", "shape", "long"]))
@settings(max_examples=20, deadline=None)
def test_one_bad_array_among_many_is_found_and_no_other_is_touched(
    tmp_path_factory: pytest.TempPathFactory, bad: int, kind: str
) -> None:
    arrays = [unit(seed, 1 + seed % 3) for seed in range(150)]
    spoiled = {"nan": np.nan, "zero": 0.0, "shape": 1.0, "long": 7.0}[kind] * arrays[bad]
    given_ = [*arrays[:bad], spoiled[:, :4] if kind == "shape" else spoiled, *arrays[bad + 1 :]]
    with Index.create(tmp_path_factory.mktemp("v") / "i", dim=DIM) as index:
        if kind != "long":
            with pytest.raises(InputError, match=f"vectors of document '{bad}': "):
                index.add_vectors(range(150), given_)
            assert len(index) == 0
            return
        index.add_vectors(range(150), given_)
        index.refresh()
        view = index._view.snapshot
        for row in range(150):
            assert view.vectors(row) == pytest.approx(arrays[row], abs=1e-3)
