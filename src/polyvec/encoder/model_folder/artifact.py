"""artifact.metadata, which Stanford's code writes beside a checkpoint: markers, lengths, size of the projection."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from polyvec.encoder.model_folder.files import read_object

_DEFAULTS = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 32, "doc_maxlen": 220}
ROOT_HEAD = re.compile(r"linear(?:_(\d+))?\.weight$")  # a projection's name among the weights
HEAD_FOLDER = re.compile(r"\d+_Dense_(\d+)$")  # a folder with one more


def read_artifact(folder: Path, unusual: list[str]) -> dict[str, Any]:
    """The settings in a folder's artifact.metadata, with Stanford's defaults for what it does not say.

    Args:
        folder: Of a model.
        unusual: A note is added for every default that stands in.

    Raises:
        ModelError: The file holds no JSON object.
    """
    path = folder / "artifact.metadata"
    if not path.is_file():
        unusual.append("artifact.metadata is missing: Stanford's defaults stand in for markers and lengths")
        return dict(_DEFAULTS)
    found = read_object(path)
    absent = [key for key in _DEFAULTS if found.get(key) is None]
    if absent:
        unusual.append(f"artifact.metadata does not say {', '.join(absent)}: Stanford's defaults stand in")
    return {**found, **{key: _DEFAULTS[key] for key in absent}}
