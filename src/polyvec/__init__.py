"""polyvec: multilingual late-interaction retrieval.

Importing this package loads neither torch nor transformers; each public name loads what it needs on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from polyvec.version import __version__

_PUBLIC = {
    "AddReport": "polyvec.index.writing.report",
    "AsyncClient": "polyvec.client.async_client",
    "Client": "polyvec.client.client",
    "Document": "polyvec.data",
    "Encoded": "polyvec.encoder",
    "Encoder": "polyvec.encoder",
    "EncoderOptions": "polyvec.encoder",
    "Explanation": "polyvec.search.explain",
    "Hit": "polyvec.search.hits",
    "Index": "polyvec.collection.index",
    "PolyvecError": "polyvec.errors",
    "SearchOptions": "polyvec.index.engine.options",
    "Shards": "polyvec.shards.shards",
    "build_index": "polyvec.collection.build",
    "evaluate": "polyvec.evaluation.evaluation",
    "maxsim": "polyvec.scoring",
    "read_documents": "polyvec.data",
    "repair_index": "polyvec.collection.repair",
    "rerank": "polyvec.search.rerank",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604

if TYPE_CHECKING:
    from polyvec.client.async_client import AsyncClient as AsyncClient
    from polyvec.client.client import Client as Client
    from polyvec.collection.build import build_index as build_index
    from polyvec.collection.index import Index as Index
    from polyvec.collection.repair import repair_index as repair_index
    from polyvec.data import Document as Document
    from polyvec.data import read_documents as read_documents
    from polyvec.encoder import Encoded as Encoded
    from polyvec.encoder import Encoder as Encoder
    from polyvec.encoder import EncoderOptions as EncoderOptions
    from polyvec.errors import PolyvecError as PolyvecError
    from polyvec.evaluation.evaluation import evaluate as evaluate
    from polyvec.index.engine.options import SearchOptions as SearchOptions
    from polyvec.index.writing.report import AddReport as AddReport
    from polyvec.scoring import maxsim as maxsim
    from polyvec.search.explain import Explanation as Explanation
    from polyvec.search.hits import Hit as Hit
    from polyvec.search.rerank import rerank as rerank
    from polyvec.shards.shards import Shards as Shards


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'polyvec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
