"""The native encoder of the default model: no torch, the same text the same bits, every kernel near the definition."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import _native
from polyvec.encoder import Encoder
from polyvec.encoder.bigrams import HashedBigrams
from polyvec.encoder.native.bigrams import Bigrams
from polyvec.encoder.native.encoder import NativeEncoder
from polyvec.encoder.samples import DOCUMENTS, QUERIES
from polyvec.errors import InputError, ModelError
from tests.encoder.toy_checkpoints import make_jina, make_pylate, make_stanford

torch = pytest.importorskip("torch")

KERNELS = _native.encoder_kernels()
LONG = "Plants turn light into sugar, and we eat it. " * 40


@pytest.fixture(scope="module")
def fp32() -> NativeEncoder:
    return NativeEncoder(precision="fp32", threads=1)


@pytest.fixture(scope="module")
def int8() -> NativeEncoder:
    return NativeEncoder(precision="int8", threads=1)


def test_nothing_heavy_is_loaded_to_encode() -> None:
    code = """
import sys
heavy = ("torch", "transformers", "sentence_transformers", "safetensors", "scipy", "sklearn", "pandas")
for name in heavy:
    sys.modules[name] = None                      # an import of it now raises ImportError
import polyvec
encoder = polyvec.Encoder()
print(encoder.backend, encoder.encode_query("what is light?").shape, len(list(encoder.stream_documents(["one", "two"]))))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["native", "(7,", "128)", "2"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_gives_nearly_the_same_vectors(fp32: NativeEncoder, kernel: str, precision: str) -> None:
    texts = [QUERIES[0], "plants turn light into sugar, 光合作用"]
    other = NativeEncoder(precision=precision, kernel=kernel, threads=1)
    for mine, exact in zip(other.encode_document(texts), fp32.encode_document(texts), strict=True):
        cosines = (mine * exact).sum(axis=1)
        assert cosines.min() > (0.99999 if precision == "fp32" else 0.995)


@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS if kernel != "scalar"])
def test_int8_stays_near_fp32(kernel: str) -> None:
    exact = NativeEncoder(precision="fp32", threads=1, bigrams=0)  # bigrams would hide differences
    rounded = NativeEncoder(precision="int8", threads=1, bigrams=0, kernel=kernel)
    texts = [*DOCUMENTS, LONG]
    pairs = zip(exact.encode_document(texts), rounded.encode_document(texts), strict=True)
    cosines = np.concatenate([(one * other).sum(axis=1) for one, other in pairs])
    assert cosines.mean() > 0.9997
    assert cosines.min() > 0.998


def test_int8_has_the_fingerprint_of_fp32(fp32: NativeEncoder, int8: NativeEncoder) -> None:
    assert fp32.fingerprint == int8.fingerprint == Encoder(backend="torch").fingerprint
    assert fp32.settings() == int8.settings()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
def test_vectors_depend_on_the_text_alone(precision: str, threads: int) -> None:
    texts = [*DOCUMENTS, LONG, "?", LONG[::-1]]
    alone = NativeEncoder(precision=precision, threads=1)
    together = NativeEncoder(precision=precision, threads=threads, batch_tokens=700)
    for text, vectors in zip(texts, together.encode_document(texts), strict=True):
        np.testing.assert_array_equal(vectors, alone.encode_document(text))


def test_one_encoder_serves_several_threads(int8: NativeEncoder) -> None:
    expected = int8.encode_document(DOCUMENTS)
    found: dict[int, list[np.ndarray]] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: int8.encode_document(DOCUMENTS)})) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for vectors in found.values():
        for one, other in zip(vectors, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(found) == 4


def test_the_longest_query_is_encoded(fp32: NativeEncoder) -> None:
    vectors = fp32.encode_query("word " * 9000)
    assert vectors.shape == (8192, 128)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(0, 70_000), min_size=1, max_size=40), dim=st.integers(1, 200))
def test_bigrams_are_those_of_the_module(ids: list[int], dim: int) -> None:
    numbers = np.array([0, *ids])
    module = HashedBigrams(0.5, [0, 1, 2])
    expected = module.signs(torch.from_numpy(numbers), dim).numpy()
    np.testing.assert_allclose(Bigrams(0.5, (0, 1, 2)).signs(numbers, dim), expected, atol=1e-7)


# -- tokenizers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["default", "jina", "stanford", "pylate"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[NativeEncoder, Encoder]:
    folder = None
    if request.param != "default":
        folder = tmp_path_factory.mktemp("models") / request.param
        {"jina": make_jina, "stanford": make_stanford, "pylate": make_pylate}[request.param](folder)
    return NativeEncoder(folder), Encoder(folder, backend="torch")


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_tokens_are_those_of_transformers(both: tuple[NativeEncoder, Encoder], text: str) -> None:
    native, stock = both
    for mine, theirs in zip(native.tokens.documents([text])[0], stock._tokens.documents([text])[0], strict=True):
        np.testing.assert_array_equal(mine.ids, theirs.ids)
        np.testing.assert_array_equal(mine.offsets, theirs.offsets)
        np.testing.assert_array_equal(mine.keep, theirs.keep)
    (one,), (other,) = native.tokens.queries([text]), stock._tokens.queries([text])
    np.testing.assert_array_equal(one.ids, other.ids)
    assert one.attended == other.attended


# -- what it does not have ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"heads": (8,)}])
def test_what_needs_torch_says_so(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises((ModelError, ImportError, InputError)) as raised:
        NativeEncoder(**options)
    assert "\n" not in str(raised.value)


def test_pickled_weights_name_the_extra(tmp_path: Path) -> None:
    make_jina(tmp_path / "m", as_bin=True)
    with pytest.raises(ImportError, match=r"polyvec\[torch\]"):
        Encoder(tmp_path / "m", backend="native")
    assert Encoder(tmp_path / "m").backend == "torch"


def test_half_precision_is_for_torch() -> None:
    with pytest.raises(InputError, match="backend='torch'"):
        NativeEncoder(precision="bf16")
    with pytest.raises(ValueError, match="kernel"):
        NativeEncoder(kernel="mmx")
