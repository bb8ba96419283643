"""What an index says that it was made with: dimensions, bits and model; and whether an encoder is that model.

Works on the settings that the catalog keeps. Loads a model only when asked for one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from polyvec.arguments import shown, token_encoder, whole_number
from polyvec.encoder import Encoder, TokenEncoder
from polyvec.encoder.locate import DEFAULT_NAME, is_other_default
from polyvec.errors import InputError, ModelMismatchError
from polyvec.index.catalog.settings import IndexSettings, ModelRecord, State
from polyvec.index.kernels import MAX_DIM
from polyvec.version import __version__

NBITS = (1, 2, 4, 8, 16)  # bits a dimension of a stored token vector; 16: fp16, no compression
DEFAULT_NBITS = 4


def checked_nbits(nbits: Any) -> int:
    """Bits a dimension of a stored token vector.

    Args:
        nbits: What a caller gives.

    Returns:
        One of NBITS.

    Raises:
        InputError: It is none of them.
    """
    if isinstance(nbits, bool) or not isinstance(nbits, (int, np.integer)) or int(nbits) not in NBITS:
        raise InputError(
            f"nbits={shown(nbits)}: expected one of {', '.join(map(str, NBITS))}; 16 is fp16, no compression."
        )
    return int(nbits)


def new_settings(
    *, encoder: TokenEncoder | None, dim: int | None, nbits: int, state: State, source: str | None
) -> IndexSettings:
    """The settings of a new index.

    Args:
        encoder: The model; None for an index of vectors only, which needs dim.
        dim: Dimensions of a token vector; None for the model's.
        nbits: Bits a dimension of a stored token vector.
        state: "ready", or "building" for one that cannot be opened yet.
        source: What it is built from, to resume it; None where it is not built in parts.

    Returns:
        The settings, checked.

    Raises:
        InputError: Options make no sense, or do not fit each other.
    """
    nbits = checked_nbits(nbits)
    if dim is not None:
        dim = whole_number("dim", dim, most=MAX_DIM, of="dimensions")
    if encoder is None and dim is None:
        raise InputError("Index.create needs an encoder, or dim= for an index of vectors only.")
    if encoder is not None:
        token_encoder("encoder", encoder)
        if dim not in (None, encoder.dim):
            raise InputError(
                f"dim={dim}, but the encoder makes vectors of dim {encoder.dim}. Leave dim out, or give Encoder(dim=...)."
            )
        dim = whole_number("the encoder's dim", encoder.dim, most=MAX_DIM, of="dimensions")
    assert dim is not None
    model = None if encoder is None else ModelRecord(encoder.fingerprint, encoder.settings())
    return IndexSettings(state=state, source=source, version=__version__, dim=dim, nbits=nbits, model=model)


def load_model(path: Path, settings: IndexSettings) -> Encoder:
    """The model that made an index.

    Args:
        path: Folder of the index.
        settings: Its settings.

    Returns:
        The model, loaded.

    Raises:
        InputError: The index has none: it holds vectors only.
        ModelMismatchError: The model has changed, or this polyvec has another version of it.
        ModelError: The model cannot be loaded.
    """
    if settings.model is None:
        raise InputError(f"{path} holds vectors only and has no model. Use search_vectors and add_vectors.")
    if is_other_default(settings.model.name):
        raise ModelMismatchError(
            f"{path} needs the model {settings.model.name}, and this polyvec has {DEFAULT_NAME}. Install the polyvec that has "
            f"{settings.model.name}, or build the index again."
        )
    encoder = Encoder(**settings.model.settings)
    check_model(path, settings, encoder)
    return encoder


def check_model(path: Path, settings: IndexSettings, encoder: TokenEncoder) -> None:
    """Refuse an encoder whose vectors do not compare with those of an index.

    Args:
        path: Folder of the index.
        settings: Its settings.
        encoder: The model to use.

    Raises:
        ModelMismatchError: The index was made by another model, or holds vectors of another dim.
    """
    made_by, dim = settings.model, settings.dim
    if made_by is None:
        if encoder.dim != dim:
            raise ModelMismatchError(
                f"{path} holds vectors of dim {dim}, but {encoder.name} makes vectors of dim {encoder.dim}."
            )
    elif encoder.fingerprint != made_by.fingerprint:
        raise ModelMismatchError(
            f"{path} was made by model {made_by.name} ({made_by.fingerprint}), not by "
            f"{encoder.name} ({encoder.fingerprint}): their vectors do not compare. "
            "Open it without an encoder, or build it again."
        )
