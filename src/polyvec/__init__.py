"""polyvec: multilingual late-interaction retrieval.

Importing this package loads neither torch nor transformers; each public name loads what it needs on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Encoder": "polyvec.encoder",
    "Explanation": "polyvec.explain",
    "Hit": "polyvec.search",
    "Index": "polyvec.collection",
    "PolyvecError": "polyvec.errors",
    "SearchOptions": "polyvec.search",
    "maxsim": "polyvec.scoring",
    "rerank": "polyvec.reranking",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604

if TYPE_CHECKING:
    from polyvec.collection import Index as Index
    from polyvec.encoder import Encoder as Encoder
    from polyvec.errors import PolyvecError as PolyvecError
    from polyvec.explain import Explanation as Explanation
    from polyvec.reranking import rerank as rerank
    from polyvec.scoring import maxsim as maxsim
    from polyvec.search import Hit as Hit
    from polyvec.search import SearchOptions as SearchOptions


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'polyvec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
