"""Files <-> documents, queries, judgments and runs. Streaming; no models, no indexes."""

from polyvec.data.document import Document, as_documents
from polyvec.data.documents import read_documents
from polyvec.data.json_lines import parse_json
from polyvec.data.judged import Qrels, Run, check_run_target, read_qrels, read_run, write_run
from polyvec.data.queries import Query, read_queries

__all__ = [
    "Document",
    "Qrels",
    "Query",
    "Run",
    "as_documents",
    "check_run_target",
    "parse_json",
    "read_documents",
    "read_qrels",
    "read_queries",
    "read_run",
    "write_run",
]
