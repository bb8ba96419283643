"""A checkpoint's folder -> a sentence-transformers MultiVectorEncoder, every weight accounted for.

Recognises who wrote the folder and reads what that writer's files say. A weight that is missing, left over or of
another shape is an error. Knows nothing about texts.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from polyvec.encoder.checkpoint import Located
from polyvec.errors import InputError, ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

logger = logging.getLogger(__name__)

Kind = Literal["native", "pylate", "stanford", "jina", "plain"]
# Parts of published checkpoints that token vectors do not come from.
_UNUSED_WEIGHTS = re.compile(r"(^|\.)(pooler\.|cls\.|lm_head\.|head\.|decoder\.|classifier\.)|position_ids$")
_DEFAULT_DOCUMENT_LENGTH = 512  # see docs/decisions: 512 tokens beat 256 on long documents


@dataclass(slots=True)
class Loaded:
    """A model and an account of what was read from where (for `polyvec doctor`)."""

    model: MultiVectorEncoder
    located: Located
    kind: Kind
    read: dict[str, str] = field(default_factory=dict)
    unusual: list[str] = field(default_factory=list)


def load(
    located: Located,
    *,
    backend: str = "torch",
    device: str | None = None,
    dtype: str = "float32",
    heads: Sequence[int] | None = None,
) -> Loaded:
    """Load a checkpoint of any supported kind.

    dtype: of the weights in memory · heads: sizes of new heads for a plain encoder.
    Raises ModelError for a folder that is no checkpoint or whose weights do not fit.
    """
    kind = kind_of(located.folder)
    if heads is not None and kind != "plain":
        raise InputError(
            f"heads={tuple(heads)}: {located.name} has a projection already. New heads go on a plain encoder."
        )
    with quiet(), readable(located):
        if kind in ("native", "pylate"):
            return _load_folder(located, kind, backend=backend, device=device, dtype=dtype)
        return _load_plain(located, heads, backend=backend, device=device, dtype=dtype)


def kind_of(folder: Path) -> Kind:
    """Who wrote this folder, from its files. Raises ModelError for a folder without config.json."""
    config = read_json(folder / "config.json")
    settings = read_json(folder / "config_sentence_transformers.json") or {}
    modules = read_json(folder / "modules.json")
    if config is None and modules is None:
        raise ModelError(f"{folder} is not a model: it has neither config.json nor modules.json.")
    if modules is not None:
        if settings.get("model_type") == "MultiVectorEncoder":
            return "native"
        pylate = any("pylate" in str(module.get("type")) for module in modules) or "query_prefix" in settings
        return "pylate" if pylate or settings.get("model_type") == "ColBERT" else "plain"
    return "stanford" if "HF_ColBERT" in (config or {}).get("architectures", []) else "plain"


def _load_folder(located: Located, kind: Kind, *, backend: str, device: str | None, dtype: str) -> Loaded:
    from sentence_transformers import MultiVectorEncoder

    model = _strict_class()(
        str(located.folder),
        device=device,
        local_files_only=True,
        backend=backend,
        model_kwargs={"dtype": dtype} if backend == "torch" else None,
    )
    model.__class__ = MultiVectorEncoder
    _relabel(model)
    return Loaded(model, located, kind)


def _load_plain(
    located: Located, heads: Sequence[int] | None, *, backend: str, device: str | None, dtype: str
) -> Loaded:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    transformer = strict_transformer()(
        str(located.folder),
        document_length=_DEFAULT_DOCUMENT_LENGTH if located.is_default else None,
        backend=backend,
        model_kwargs={"local_files_only": True, **({"dtype": dtype} if backend == "torch" else {})},
        processor_kwargs={"local_files_only": True},
        config_kwargs={"local_files_only": True},
    )
    modules = [transformer]
    modules += [MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    model = MultiVectorEncoder(modules=modules, device=device, model_card_data=_card())
    _relabel(model)
    return Loaded(model, located, "plain")


def _card() -> Any:
    from sentence_transformers.multi_vector_encoder.model_card import MultiVectorEncoderModelCardData

    return MultiVectorEncoderModelCardData(local_files_only=True)


def strict_transformer() -> Any:
    """sentence-transformers' Transformer, made to refuse weights that are missing or left over."""
    from sentence_transformers.base.modules import Transformer

    class StrictTransformer(Transformer):  # type: ignore[misc]
        def _load_model(
            self, model_name_or_path: str, task: str, config: Any, backend: str, *args: Any, **kwargs: Any
        ) -> Any:
            if backend != "torch":
                return super()._load_model(model_name_or_path, task, config, backend, *args, **kwargs)
            kwargs["output_loading_info"] = True
            model, info = super()._load_model(model_name_or_path, task, config, backend, *args, **kwargs)
            check_weights(Path(model_name_or_path).name, info["missing_keys"], info["unexpected_keys"])
            return model

    return StrictTransformer


def _strict_class() -> Any:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer

    strict = strict_transformer()

    class StrictEncoder(MultiVectorEncoder):  # type: ignore[misc]
        def _load_module_class_from_ref(self, class_ref: str, *args: Any, **kwargs: Any) -> Any:
            found = super()._load_module_class_from_ref(class_ref, *args, **kwargs)
            return strict if found is Transformer else found

    return StrictEncoder


def _relabel(model: MultiVectorEncoder) -> None:
    """Give the strict backbone its public class back, so that a saved folder names that one."""
    from sentence_transformers.base.modules import Transformer

    if type(model[0]).__name__ == "StrictTransformer":
        model[0].__class__ = Transformer


def check_weights(
    where: str, missing: Iterator[str] | set[str], unexpected: Iterator[str] | set[str], *, used: str = ""
) -> None:
    """Raise ModelError naming the keys, unless they belong to parts that token vectors do not come from."""
    lost = sorted(key for key in missing if not _UNUSED_WEIGHTS.search(key))
    left = sorted(key for key in unexpected if not _UNUSED_WEIGHTS.search(key) and key != used)
    if lost or left:
        parts = [f"{len(lost)} missing ({_some(lost)})"] if lost else []
        parts += [f"{len(left)} left over ({_some(left)})"] if left else []
        raise ModelError(f"The weights of {where} do not fit its configuration: {'; '.join(parts)}.")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:6]) + (", ..." if len(keys) > 6 else "")


def read_json(path: Path) -> Any:
    """The JSON value in a file, None where there is no file. Raises ModelError for broken JSON."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}).") from error


@contextmanager
def readable(located: Located) -> Iterator[None]:
    """Turn what the libraries below raise for a bad folder into one plain line."""
    try:
        yield
    except (ModelError, InputError, KeyboardInterrupt):
        raise
    except ImportError as error:
        raise ModelError(f"Loading {located.name} needs a package that is not installed: {_line(error)}") from error
    except Exception as error:  # OSError, RuntimeError, ValueError and SafetensorError among others
        raise ModelError(f"Cannot load {located.name}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + " ..."


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars and advice off stderr; their settings come back afterwards."""
    from transformers.utils import logging as hf

    level, bars = hf.get_verbosity(), hf.is_progress_bar_enabled()
    names = ("sentence_transformers", "huggingface_hub", "transformers")
    levels = {name: logging.getLogger(name).level for name in names}
    hf.set_verbosity_error()
    hf.disable_progress_bar()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        hf.set_verbosity(level)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        if bars:
            hf.enable_progress_bar()
