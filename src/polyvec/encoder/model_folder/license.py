"""Under which license a model's weights are published."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from polyvec.encoder.locate import Located

logger = logging.getLogger(__name__)

_OF_JINA = "cc-by-nc-4.0"  # where the folder does not say
_shown: set[str] = set()


def license(folder: Path) -> str | None:
    """The license that a model card's front matter names, if it does."""
    path = folder / "README.md"
    if not path.is_file():
        return None
    found = re.search(r"^licen[sc]e:\s*(\S+)", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1].strip("'\"") if found else None


def tell_license(located: Located) -> None:
    """Log, once a process, under which license Jina's weights are."""
    if located.name not in _shown:
        _shown.add(located.name)
        named = license(located.folder) or _OF_JINA
        logger.warning("%s: these weights are published under %s; check that your use is allowed.", located.name, named)
