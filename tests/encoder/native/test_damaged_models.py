"""Damaged and hostile model folders: one line of ours, whatever is wrong with them; never vectors that are not numbers."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from polyvec.encoder import Encoder
from polyvec.encoder.model_folder.tensors import read_tensors
from polyvec.encoder.native.encoder import NativeEncoder
from polyvec.errors import InputError, MissingExtraError, ModelError, PolyvecError
from tests.encoder.toy_checkpoints import make_plain, make_pylate


def write_file(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def entry(shape: Any, begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=4),
    dtype=st.sampled_from(["float32", "float16", "int8", "int64", "uint8"]),
)
def test_sound_files_are_read(tmp_path: Path, shapes: list[list[int]], dtype: str) -> None:
    arrays = {f"t{i}": np.arange(np.prod(shape)).reshape(shape).astype(dtype) for i, shape in enumerate(shapes)}
    save_file(arrays, tmp_path / "x.safetensors", metadata={"format": "np"})
    found = read_tensors(tmp_path / "x.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].values, array)


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({"t": entry([2], 0, 4)}, 8),  # shape and place differ
        ({"t": entry([2], 4, 12)}, 12),  # a gap
        ({"t": entry([2], 0, 8)}, 12),  # bytes left over
        ({"t": entry([2], 0, 8)}, 4),  # cut off
        ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),  # overlapping
        ({"t": entry([-2], 0, 8)}, 8),
        ({"t": entry([2.0], 0, 8)}, 8),
        ({"t": entry([True, 2], 0, 8)}, 8),
        ({"t": entry([2], "0", 8)}, 8),
        ({"t": entry([2], 8, 0)}, 8),
        ({"t": entry([1 << 62, 1 << 62], 0, 8)}, 8),
        ({"t": entry([2], 0, 8, "F4")}, 8),
        ({"t": entry([2], 0, 8, ["F32"])}, 8),
        ({"t": entry([2], 0, 8) | {"more": 1}}, 8),
        ({"t": [1, 2]}, 8),
        ([1, 2], 8),
        (b"\xff\xfe{}", 0),
        (b"{" * 100_000, 0),
        (b'{"t": 1, "t": 2}', 0),
        (b"", 0),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: Any, size: int) -> None:
    write_file(tmp_path / "x.safetensors", header, bytes(size))
    with pytest.raises(ModelError, match=r"x\.safetensors") as raised:
        read_tensors(tmp_path / "x.safetensors")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 1 << 40, 100])
def test_headers_longer_than_the_file(tmp_path: Path, length: int) -> None:
    write_file(tmp_path / "x.safetensors", {}, b"1234", length)
    with pytest.raises(ModelError, match="cut off"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "m"
    make_pylate(folder, sizes=(24, 16), residual=True)
    return folder


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_line_or_vectors(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    files = sorted(path.relative_to(sound) for path in sound.rglob("*") if path.is_file())
    broken = data.draw(st.sampled_from(files))
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content = bytearray((sound / name).read_bytes())
        if name == broken:
            kind = data.draw(st.sampled_from(["cut", "flip", "gone", "text"]))
            if kind == "gone":
                continue
            if kind == "cut":
                del content[data.draw(st.integers(0, len(content))) :]
            elif kind == "flip":
                for _ in range(data.draw(st.integers(1, 8))):
                    content[data.draw(st.integers(0, min(len(content), 3000) - 1))] = data.draw(st.integers(0, 255))
            else:
                content = bytearray(
                    data.draw(st.sampled_from([b"", b"null", b"[]", b"{}", b"[1]", b'{"a": [[]]}', b"3"]))
                )
        (folder / name).write_bytes(content)
    found: list[Any] = []
    try:
        found.append(NativeEncoder(folder).encode_document("hello world"))
    except PolyvecError as error:
        found.append(str(error))
    assert "\n" not in found[0] if isinstance(found[0], str) else np.isfinite(found[0]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "name",
    [
        "embeddings.word_embeddings.weight",
        "encoder.layer.1.output.dense.weight",
        "encoder.layer.0.output.LayerNorm.bias",
    ],
)
def test_weights_that_are_not_numbers(tmp_path: Path, name: str, value: float) -> None:
    make_plain(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    weights = {key: np.array(tensor.values) for key, tensor in read_tensors(path).items()}
    weights[name].reshape(-1)[:] = value
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="not finite"):
        NativeEncoder(tmp_path / "m").encode_document("hello world")


def test_a_tokenizer_beyond_the_table(tmp_path: Path) -> None:
    make_plain(tmp_path / "m")
    path = tmp_path / "m" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["unheard"] = 5000
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="tokens up to 5000"):
        NativeEncoder(tmp_path / "m")


def _without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def _with(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        if (folder / name).exists():
            (folder / name).unlink()
        (folder / name).write_text(text)

    return change


_INDEX = json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}})
HALF_DOWNLOADED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no file": (_without("config.json", "modules.json", "model.safetensors"), "neither config.json nor modules.json"),
    "no weights": (_without("model.safetensors"), r"no \*\.safetensors\. Is the download complete"),
    "no tokenizer": (_without("tokenizer.json"), r"no tokenizer\.json\. Is the download complete"),
    "no folder of the projection": (_without("1_Dense"), "1_Dense is missing, which modules.json names"),
    "no weights of the projection": (_without("1_Dense/model.safetensors"), "1_Dense holds no weights"),
    "config without its content": (_with("config.json", "{}"), "does not say model_type"),
    "config cut off": (_with("config.json", '{"model_type": "be'), r"config\.json is not valid JSON"),
    "one part of two": (_with("model.safetensors.index.json", _INDEX), r"model-00002-of-00002\.safetensors is missing"),
    "a pointer": (_with("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "an empty file": (_with("model.safetensors", ""), "too few for a header"),
}


@pytest.mark.parametrize("case", HALF_DOWNLOADED)
def test_a_half_downloaded_folder_says_what_is_missing(sound: Path, tmp_path: Path, case: str) -> None:
    shutil.copytree(sound, tmp_path / "m")
    change, message = HALF_DOWNLOADED[case]
    change(tmp_path / "m")
    for encoder in (NativeEncoder, Encoder):
        with pytest.raises(ModelError, match=message) as raised:
            encoder(tmp_path / "m")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with("config.json", '{"model_type": "deberta-v2"}'), "model_type='deberta-v2'"),
        (_with("config.json", '{"model_type": "bert", "hidden_act": "relu"}'), "hidden_act='relu'"),
        (_with("pytorch_model.bin", ""), "pickled weights"),
        (_with("vocab.txt", ""), r"a tokenizer without tokenizer\.json"),
    ],
)
def test_what_needs_torch_names_it(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    make_plain(tmp_path / "m")
    change(tmp_path / "m")
    if (tmp_path / "m" / "pytorch_model.bin").exists():
        (tmp_path / "m" / "model.safetensors").unlink()
    if (tmp_path / "m" / "vocab.txt").exists():
        (tmp_path / "m" / "tokenizer.json").unlink()
    with pytest.raises(MissingExtraError, match=message) as raised:
        Encoder(tmp_path / "m", backend="native")
    assert "pip install 'polyvec[torch]'" in str(raised.value)


def test_a_kernel_that_the_processor_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"kernel='amx': not a kernel of this processor, which has .*scalar"):
        NativeEncoder(kernel="amx")
    monkeypatch.setenv("POLYVEC_KERNEL", "mmx")
    code = "from polyvec.cli import main; import sys; sys.exit(main(['encode', *sys.argv[1:]]))"
    docs = Path(__file__).parents[3] / "src" / "polyvec" / "demo" / "corpus"
    done = subprocess.run([sys.executable, "-c", code, docs, "x.npz"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "POLYVEC_KERNEL='mmx': not a kernel of this processor, which has " in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("unit", ["hello light ", "x", "光", "e\u0301", "<mask>", "\U0001f600"])
def test_a_text_of_a_million_characters(sound: Path, unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    encoder = NativeEncoder(sound)
    vectors = encoder.encode_document(text)
    assert 1 <= len(vectors) <= encoder.document_length
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    with pytest.raises(InputError, match=r"query 0 has .* characters, and at most 100,000 are taken"):
        encoder.encode_query(text)


def test_lone_surrogates_are_named_by_their_place(sound: Path) -> None:
    with pytest.raises(InputError, match="document 1 holds a lone surrogate at character 2"):
        NativeEncoder(sound).encode_document(["fine", "a \udfff"])
    with pytest.raises(InputError, match="query 0 holds a lone surrogate at character 0"):
        NativeEncoder(sound).encode_query(["\ud800"])


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_size", 31), ("num_attention_heads", 0), ("num_hidden_layers", 10**9), ("layer_norm_eps", "x")],
)
def test_configurations_that_cannot_be(tmp_path: Path, key: str, value: Any) -> None:
    make_plain(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError):
        NativeEncoder(tmp_path / "m")
