"""polyvec in PyTerrier: an indexer, and transformers that retrieve and rerank. None of them starts a Java machine.

indexer = PolyvecIndexer("wiki.polyvec")
indexer.index([{"docno": "d1", "text": "..."}])
pipeline = indexer.retriever(num_results=100) >> PolyvecReranker() % 10
pipeline.search("why is the sky blue?")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polyvec.arguments import whole_number
from polyvec.data import Document
from polyvec.errors import InputError, MissingExtraError
from polyvec.integrations.target import encoder_of, opened
from polyvec.search.rerank import rerank

try:
    import pandas as pd
    import pyterrier as pt
except ImportError as error:
    raise MissingExtraError(
        "polyvec.integrations.pyterrier needs python-terrier, which is not installed: pip install 'polyvec[pyterrier]'."
    ) from error

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder
    from polyvec.search.hits import Hit

_FOUND = ("docno", "score", "rank", "text")


class PolyvecRetriever(pt.Transformer):
    """Queries in (qid, query), the best documents of an index out (docno, score, rank, text beside them).

    Args:
        index: A path, or an open `polyvec.Index` or another object with its methods.
        num_results: Documents for each query, at most.
        search_options: Other keywords of `polyvec.Index.search`, such as {"mode": "hybrid"} or a filter.
    """

    def __init__(self, index: Any, *, num_results: int = 1000, search_options: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.index = opened(index)
        self.num_results = whole_number("num_results", num_results, of="documents")
        self.search_options = dict(search_options or {})

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """The best documents for each query.

        Args:
            inp: One row a query: qid, query and any other columns, which are kept.

        Returns:
            One row a document found, best first within each query; ranks begin with 0.
        """
        pt.validate.query_frame(inp, extra_columns=["query"])
        queries = [str(query) for query in inp["query"].tolist()]
        found = self._found(queries) if queries else []
        rows = np.repeat(np.arange(len(found)), [len(hits) for hits in found])
        kept = {name: inp[name].array.take(rows) for name in inp.columns if name not in _FOUND}
        return pd.DataFrame({**kept, **_columns(found)})

    def search(self, query: str, qid: str = "1", sort: bool = True) -> pd.DataFrame:
        """The best documents for one query: what `transform` returns, without a table that holds nothing but the query.

        Args:
            query: Its text.
            qid: Its id in the answer.
            sort: Given for the protocol: the best document is always first.

        Returns:
            One row a document found: qid, query, docno, score, rank, text.
        """
        found = self._found([str(query)])
        times = len(found[0])
        named = {"qid": _objects([qid] * times), "query": _objects([query] * times)}
        return pd.DataFrame({**named, **_columns(found)}, copy=False)

    def _found(self, queries: list[str]) -> list[list[Hit]]:
        found: list[list[Hit]] = self.index.search(queries, **{**self.search_options, "k": self.num_results})
        return found


def _columns(found: Sequence[Sequence[Hit]]) -> dict[str, Any]:
    """What was found, a column each, in the order of the queries."""
    hits = [hit for one in found for hit in one]
    return {
        "docno": _objects([hit.id for hit in hits]),
        "score": np.array([hit.score for hit in hits], dtype=np.float64),
        "rank": np.array([hit.rank - 1 for hit in hits], dtype=np.int64),
        "text": _objects([hit.text for hit in hits]),
    }


def _objects(values: Sequence[Any]) -> Any:
    """A column as it is: pandas would read every string of a list once more."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return pd.Index(column, dtype=object, copy=False)


class PolyvecReranker(pt.Transformer):
    """Orders documents by exact MaxSim with their query: qid, query, docno and text in, score and rank anew.

    Args:
        model: Name or folder of a model, or an encoder; None for the one that ships with polyvec. It is loaded on first use.
    """

    def __init__(self, model: str | TokenEncoder | None = None) -> None:
        super().__init__()
        self.model = model
        self._encoder: TokenEncoder | None = None

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """The same rows, best first within each query.

        Args:
            inp: One row a document of a query: qid, query, docno, text and any other columns, which are kept.

        Returns:
            The rows with new scores and ranks; ranks begin with 0.
        """
        pt.validate.result_frame(inp, extra_columns=["query", "text"])
        given = inp.reset_index(drop=True)
        order: list[int] = []
        scores: list[float] = []
        ranks: list[int] = []
        for _, rows in given.groupby("qid", sort=False):
            if self._encoder is None:
                self._encoder = encoder_of(self.model)
            places = rows.index.tolist()
            for hit in rerank(str(rows["query"].iloc[0]), [str(text) for text in rows["text"]], encoder=self._encoder):
                order.append(places[int(hit.id)])
                scores.append(hit.score)
                ranks.append(hit.rank - 1)
        result = given.iloc[order].reset_index(drop=True)
        result["score"] = pd.Series(scores, dtype=float)
        result["rank"] = pd.Series(ranks, dtype=int)
        return result


class PolyvecIndexer(pt.Indexer):
    """Documents into an index. Rows are dicts with docno and text; other fields are metadata.

    Args:
        index: A path, where an index is made if there is none; or an open `polyvec.Index` or another object with its methods.
        model: For an index at a path: name or folder of the model, or an encoder; default the index's own, or the one that ships
            with polyvec.
        nbits: Bits a dimension of an index that is made, as `polyvec.Index.create` has it.
    """

    def __init__(self, index: Any, *, model: str | TokenEncoder | None = None, nbits: int | None = None) -> None:
        super().__init__()
        self._index = opened(index, model=model, nbits=nbits)

    def index(self, iter: Iterable[Mapping[str, Any]], **kwargs: Any) -> Any:
        """Store documents; those whose docno is there already are replaced. Durable on return, all of them or none.

        Args:
            iter: Rows with docno and text; streamed.
            **kwargs: None is known; given for the protocol.

        Returns:
            The open index.
        """
        if kwargs:
            raise InputError(f"index: unknown keyword {min(kwargs)!r}.")
        self._index.add((_document(row) for row in iter), existing="replace")
        return self._index

    def index_inputs(self) -> list[list[str]]:
        """The columns that are needed."""
        return [["docno", "text"]]

    def retriever(self, *, num_results: int = 1000, search_options: dict[str, Any] | None = None) -> PolyvecRetriever:
        """A transformer that retrieves from this index; see `PolyvecRetriever`."""
        return PolyvecRetriever(self._index, num_results=num_results, search_options=search_options)


def _document(row: Mapping[str, Any]) -> Document:
    for name in ("docno", "text"):
        if name not in row:
            raise InputError(f"index: {name!r} is missing in a row with {', '.join(map(str, row)) or 'no fields'}.")
    return Document(row["docno"], row["text"], {key: row[key] for key in row if key not in ("docno", "text")})
