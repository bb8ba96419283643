"""Files <-> documents, queries, judgements and runs. Streaming; no models, no indexes."""

from polyvec.data.document import Document, as_documents
from polyvec.data.documents import read_documents
from polyvec.data.judged import Qrels, Query, Run, read_qrels, read_queries, read_run, write_run

__all__ = [
    "Document",
    "Qrels",
    "Query",
    "Run",
    "as_documents",
    "read_documents",
    "read_qrels",
    "read_queries",
    "read_run",
    "write_run",
]
