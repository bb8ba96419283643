"""A loaded model -> a folder: sentence-transformers' own layout, or PyLate's.

The native folder opens in stock sentence-transformers; with Matryoshka heads it needs polyvec installed and
`trust_remote_code=True`, because their class lives here. PyLate's has one head, as plain Dense modules.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.atomic import staged
from polyvec.encoder.torch.settings import mask_of
from polyvec.encoder.torch.strict import quiet
from polyvec.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from polyvec.encoder.torch.loaded import Loaded


def save_native(loaded: Loaded, folder: Path) -> None:
    """Write a sentence-transformers folder, whole or not at all.

    Raises:
        StorageError: Something is in the way.
    """
    with quiet(), staged(folder) as staging:
        loaded.model.save_pretrained(str(staging), create_model_card=False)
        _copy_card(loaded, staging)


def save_pylate(loaded: Loaded, folder: Path) -> None:
    """Write a PyLate folder: backbone, Dense modules and PyLate's settings; the active head only.

    Raises:
        InputError: PyLate's layout cannot say what the model does.
        StorageError: Something is in the way, or the folder cannot be written.
    """
    dense = _dense_modules(loaded.model)
    with quiet(), staged(folder) as staging:
        loaded.model[0].save(str(staging))
        _drop_native_knobs(staging / "sentence_bert_config.json")
        modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
        for number, module in enumerate(dense, start=1):
            path = staging / f"{number}_Dense"
            path.mkdir()
            module.save(str(path))
            _rename_activation(path / "config.json")
            modules.append({"idx": number, "name": str(number), "path": path.name, "type": "pylate.models.Dense.Dense"})
        _write(staging / "modules.json", modules)
        _write(staging / "config_sentence_transformers.json", _pylate_settings(loaded.model))
        _copy_card(loaded, staging)


def _dense_modules(model: MultiVectorEncoder) -> list[Any]:
    """The projection as Dense modules.

    Raises:
        InputError: A module has no such form.
    """
    import torch
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    from polyvec.encoder.torch.heads import MatryoshkaHeads

    dense = []
    for module in list(model)[1:]:
        if isinstance(module, MatryoshkaHeads):
            weight = module.head(module.active).weight.detach().clone()
            identity = torch.nn.Identity()
            dense.append(
                Dense(
                    module.in_features,
                    module.active,
                    bias=False,
                    activation_function=identity,
                    init_weight=weight,
                    module_input_name="token_embeddings",
                )
            )
        elif isinstance(module, Dense):
            dense.append(module)
        elif not isinstance(module, (MultiVectorMask, Normalize)):
            raise InputError(
                f"PyLate's layout has no place for {type(module).__name__}. Write a native folder instead."
            )
    return dense


def _pylate_settings(model: MultiVectorEncoder) -> dict[str, Any]:
    backbone, mask = model[0], mask_of(model)
    expansion = backbone.query_expansion
    if expansion is not None and expansion["strategy"] != "fixed":
        raise InputError(
            "PyLate pads queries to a fixed length or not at all; query_augmentation='min' has no place there."
        )
    return {
        "model_type": "ColBERT",
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": model.prompts.get("query", ""),
        "document_prefix": model.prompts.get("document", ""),
        "query_length": expansion["length"] if expansion else backbone.query_length or 32,
        "document_length": backbone.document_length or backbone.tokenizer.model_max_length,
        "do_query_expansion": expansion is not None,
        "attend_to_expansion_tokens": bool(expansion and expansion["attend"]),
        "skiplist_words": mask.skiplist_words,
    }


def _drop_native_knobs(path: Path) -> None:
    """PyLate reads lengths and augmentation from its own file."""
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("query_expansion", "query_length", "document_length", "modality_config", "module_output_name"):
        config.pop(key, None)
    _write(path, {"max_seq_length": None, "do_lower_case": False, **config})


def _rename_activation(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("module_input_name", "module_output_name"):
        config.pop(key, None)
    _write(path, config)


def _copy_card(loaded: Loaded, staging: Path) -> None:
    """Keep the model card: it holds the license."""
    card = loaded.located.folder / "README.md"
    if loaded.kind != "memory" and card.is_file():
        shutil.copy(card, staging / "README.md")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
