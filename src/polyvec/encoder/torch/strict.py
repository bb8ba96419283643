"""sentence-transformers' loaders, made strict and quiet.

Its Transformer module logs weights that are missing or left over and goes on; here they are an error. Loaded objects
get their public classes back, so a saved folder names nothing of this file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.encoder.model_folder.artifact import ROOT_HEAD
from polyvec.encoder.model_folder.weight_names import check_names
from polyvec.errors import MissingExtraError, ModelError, PolyvecError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# What modules.json may name of ours: the public path, and the ones that folders saved earlier name.
_OWN = {
    "polyvec.modules.MatryoshkaHeads": "polyvec.encoder.heads",
    "polyvec.modules.HashedBigrams": "polyvec.encoder.bigrams",
    "polyvec.encoder.heads.MatryoshkaHeads": "polyvec.encoder.heads",
    "polyvec.encoder.bigrams.HashedBigrams": "polyvec.encoder.bigrams",
}


def build_transformer(folder: Path, *, dtype: str, ready: tuple[Any, Any] | None = None, **knobs: Any) -> Any:
    """A Transformer module from a folder, every weight accounted for.

    Args:
        folder: To read.
        dtype: Of the weights in memory.
        ready: (config, model) made already; then only the tokenizer is read from the folder.
        **knobs: Of the module itself.
    """
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    module = _strict_transformer(ready)(
        str(folder),
        model_kwargs={**local, "dtype": dtype},
        processor_kwargs=dict(local),
        config_kwargs=dict(local),
        **knobs,
    )
    _relabel(module)
    return module


def build_encoder(
    folder: Path, *, device: str | None, dtype: str, ready: tuple[Any, Any] | None = None
) -> MultiVectorEncoder:
    """A MultiVectorEncoder from a folder with modules.json, every weight accounted for.

    Args:
        folder: To read.
        device: To run on.
        dtype: Of the weights in memory.
        ready: (config, model) of the backbone where it is made already, as from a packed folder.
    """
    from sentence_transformers import MultiVectorEncoder

    model = _strict_encoder(ready)(
        str(folder),
        device=device,
        local_files_only=True,
        model_kwargs={"dtype": dtype},
    )
    model.__class__ = MultiVectorEncoder
    for module in model:
        _relabel(module)
    encoder: MultiVectorEncoder = model.eval()
    return encoder


def assemble(modules: list[Any], *, device: str | None, prompts: dict[str, str] | None = None) -> MultiVectorEncoder:
    """A MultiVectorEncoder of these modules, with an empty model card that asks no network."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.model_card import MultiVectorEncoderModelCardData

    card = MultiVectorEncoderModelCardData(local_files_only=True)
    return MultiVectorEncoder(modules=modules, device=device, prompts=prompts, model_card_data=card).eval()


def _strict_transformer(ready: tuple[Any, Any] | None = None) -> Any:
    from sentence_transformers.base.modules import Transformer

    class StrictTransformer(Transformer):  # type: ignore[misc]
        def _load_config(self, *args: Any, **kwargs: Any) -> Any:
            return (ready[0], False) if ready is not None else super()._load_config(*args, **kwargs)

        def _load_model(
            self, model_name_or_path: str, task: str, config: Any, backend: str, *args: Any, **kwargs: Any
        ) -> Any:
            if ready is not None:
                return ready[1]
            kwargs["output_loading_info"] = True
            model, info = super()._load_model(model_name_or_path, task, config, backend, *args, **kwargs)
            left_over = [key for key in info["unexpected_keys"] if not (_is_stanford(config) and ROOT_HEAD.match(key))]
            check_names(Path(model_name_or_path).name, info["missing_keys"], left_over)
            return model

    return StrictTransformer


def _is_stanford(config: Any) -> bool:
    """Whether the projection lies beside the backbone's weights, from where it is read separately."""
    return "HF_ColBERT" in (config.architectures or [])


def _strict_encoder(ready: tuple[Any, Any] | None = None) -> Any:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer

    strict = _strict_transformer(ready)

    class StrictEncoder(MultiVectorEncoder):  # type: ignore[misc]
        def _load_module_class_from_ref(self, class_ref: str, *args: Any, **kwargs: Any) -> Any:
            if class_ref in _OWN:  # which needs no trust in the folder
                return getattr(import_module(_OWN[class_ref]), class_ref.rpartition(".")[2])
            found = super()._load_module_class_from_ref(class_ref, *args, **kwargs)
            return strict if found is Transformer else found

    return StrictEncoder


def _relabel(module: Any) -> None:
    from sentence_transformers.base.modules import Transformer

    if type(module).__name__ == "StrictTransformer":
        module.__class__ = Transformer


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Turn what the libraries below raise for a bad folder into one plain ModelError."""
    try:
        yield
    except (PolyvecError, MemoryError):
        raise
    except ImportError as error:
        raise MissingExtraError(f"Loading {name} needs a package that is not installed: {_line(error)}") from error
    except Exception as error:  # tokenizers raises bare ones, so none of the others could be listed to any use
        raise ModelError(f"Cannot load {name}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else text[:400] + " ..."


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars and advice off stderr; their settings come back afterwards."""
    from transformers.utils import logging as hf

    bars = hf.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "huggingface_hub", "transformers")]
    levels = [logger.level for logger in loggers]
    hf.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            hf.enable_progress_bar()
