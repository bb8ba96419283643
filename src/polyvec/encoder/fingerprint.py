"""A model and its settings -> a short stable name for "the same vectors".

An index keeps it, so that vectors of two models never meet. It covers the weights, the backbone's configuration, the
tokenizer and every setting that changes document vectors; not arithmetic (fp32, int8, ...), device, batch size or query
settings, with which an index stays searchable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyvec.encoder.tokens import Layout
from polyvec.encoder.vietnamese import table_name

_SAMPLES, _BLOCK = 1024, 4096  # bytes read of a large file: 4 MiB, evenly spread, beside its header and its end
_WEIGHTS = ("*.safetensors", "*.bin")
_NOISE = frozenset({"transformers_version", "_name_or_path", "architectures", "torch_dtype", "dtype", "auto_map"})
PROBE = "Photosynthese, 光合作用 в листьях: ไทย नमस्ते مرحبا 1234567890 naïve e\u0301"


def fingerprint(folder: Path | None, model: Any, settings: dict[str, Any]) -> str:
    """The name of the vectors that a model makes.

    Args:
        folder: Where the weights lie; None for a model that is in memory only.
        model: The MultiVectorEncoder.
        settings: Everything else that changes document vectors.

    Returns:
        16 hexadecimal digits.
    """
    probe = model.tokenizer(PROBE)["input_ids"]
    if folder is not None:
        return fingerprint_of(folder, _config_of(folder), probe, len(model.tokenizer), settings)
    digest = hashlib.sha256()
    _add_memory(digest, model)
    return _finished(digest, model[0].config.to_dict(), probe, len(model.tokenizer), settings)


def _config_of(folder: Path) -> dict[str, Any]:
    """config.json of the backbone, which lies in the folder's root or where modules.json says."""
    root = folder
    if (folder / "modules.json").is_file():
        root = folder / json.loads((folder / "modules.json").read_text(encoding="utf-8"))[0]["path"]
    found: dict[str, Any] = json.loads((root / "config.json").read_text(encoding="utf-8"))
    return found


def fingerprint_of(
    folder: Path, config: dict[str, Any], probe: list[int], vocabulary: int, settings: dict[str, Any]
) -> str:
    """The fingerprint of a folder's model, whatever runs it.

    Args:
        folder: where the weights lie.
        config: the backbone's config.json.
        probe: token ids of PROBE.
        vocabulary: number of tokens.
        settings: everything else that changes document vectors.
    """
    digest = hashlib.sha256()
    for pattern in _WEIGHTS:
        for path in sorted(folder.rglob(pattern)):
            if not any(part in ("onnx", "openvino") for part in path.relative_to(folder).parts):
                _add_file(digest, path, path.relative_to(folder).as_posix())
    return _finished(digest, config, probe, vocabulary, settings)


def vector_settings(
    layout: Layout,
    *,
    dim: int,
    projection: Sequence[Sequence[Any]],
    pooling: Sequence[dict[str, Any]],
    bigrams: dict[str, Any] | None,
) -> dict[str, Any]:
    """Every setting that document vectors depend on, as `fingerprint_of` takes them.

    Args:
        layout: Of texts.
        dim: Of a vector.
        projection: The kind and size of each step from hidden states to vectors.
        pooling: The configuration of each module that merges vectors.
        bigrams: weight and special_ids of hashed bigrams; None for none.
    """
    return {
        "dim": dim,
        "projection": [list(step) for step in projection],
        "prompt": layout.document_prompt,
        "document_length": min(layout.document_length, layout.max_length),
        "skiplist": sorted(layout.document_skip),
        "long_documents": [layout.long_documents, layout.window_overlap] if layout.long_documents != "cut" else "cut",
        "pooling": list(pooling),
        **({} if bigrams is None else {"bigrams": bigrams}),
        **({"fold_capitals": True} if layout.fold_capitals else {}),
        **({"restore_marks": table_name()} if layout.restore_marks else {}),
        **({"greek_question_mark": True} if layout.greek_question_mark else {}),
    }


def _finished(digest: Any, config: dict[str, Any], probe: list[int], vocabulary: int, settings: dict[str, Any]) -> str:
    config = {key: value for key, value in config.items() if key not in _NOISE and value is not None}
    digest.update(json.dumps([config, probe, vocabulary, settings], sort_keys=True, default=str).encode())
    found: str = digest.hexdigest()[:16]
    return found


def _add_file(digest: Any, path: Path, name: str) -> None:
    size = path.stat().st_size
    digest.update(f"{name}:{size}:".encode())
    with path.open("rb") as file:
        if size <= _SAMPLES * _BLOCK:
            digest.update(file.read())
            return
        digest.update(file.read(1 << 16))
        for sample in range(_SAMPLES):
            file.seek(sample * (size - _BLOCK) // (_SAMPLES - 1))
            digest.update(file.read(_BLOCK))


def _add_memory(digest: Any, model: Any) -> None:
    """Every weight in float32: its name, shape and up to 4,096 of its values, evenly spread."""
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        step = max(1, flat.numel() // 4096)
        digest.update(f"{name}:{tuple(tensor.shape)}:".encode())
        digest.update(flat[::step].float().cpu().numpy().tobytes())
