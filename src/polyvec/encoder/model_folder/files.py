"""JSON files of a model folder, read as what they have to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polyvec.errors import ModelError


def read_json(path: Path) -> Any:
    """The JSON value in a file, None where there is no file.

    Raises:
        ModelError: The file holds no JSON, or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON ({error}).") from error
    except OSError as error:
        raise ModelError(f"Cannot read {path} ({error.strerror}).") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no file.

    Raises:
        ModelError: The file holds something else, or cannot be read.
    """
    found = read_json(path)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds {type(found).__name__}, expected a JSON object.")
    return found
