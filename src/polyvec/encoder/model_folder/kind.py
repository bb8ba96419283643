"""Who wrote a model's folder: sentence-transformers, PyLate, Stanford's ColBERT, Jina, or nobody who knows of token vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from polyvec.encoder.model_folder.files import read_json, read_object
from polyvec.encoder.model_folder.weight_names import safetensors_names
from polyvec.errors import ModelError

Kind = Literal["native", "pylate", "stanford", "jina", "plain", "memory"]


def kind_of(folder: Path, names: Callable[[Path], Iterable[str]] = safetensors_names) -> Kind:
    """Who wrote this folder, from its files.

    Args:
        folder: Of a model.
        names: Gives the names of the weights in a folder. The default reads safetensors only.

    Raises:
        ModelError: It is no model, or one with positions that nothing here has.
    """
    config = read_object(folder / "config.json")
    settings = read_object(folder / "config_sentence_transformers.json")
    modules = read_json(folder / "modules.json")
    if modules is None and not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a model: it has neither config.json nor modules.json.")
    if modules is not None:
        if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
            raise ModelError(f"{folder / 'modules.json'} is not a list of modules.")
        if settings.get("model_type") == "MultiVectorEncoder":
            return "native"
        pylate = any("pylate" in str(module.get("type")) for module in modules) or "query_prefix" in settings
        return "pylate" if pylate or settings.get("model_type") == "ColBERT" else "plain"
    if config.get("position_embedding_type") == "alibi":
        raise ModelError(f"{folder.name} uses ALiBi positions, which transformers does not have. Use jina-colbert-v2.")
    # transformers' own model of this type has the same configuration and other names
    if config.get("model_type") != "jina_embeddings_v3" and any(".mixer.Wqkv." in name for name in names(folder)):
        return "jina"
    return "stanford" if "HF_ColBERT" in (config.get("architectures") or []) else "plain"
