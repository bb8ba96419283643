"""Ids that come twice are found, whatever has been stored of the call by then."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.index.writing.arriving_ids import ArrivingIds
from polyvec.index.writing.report import AddReport, Existing

FIRST_NEW = 100


class Stored:
    """What a catalog would hold: rows by id."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.rows = {document_id: row for row, document_id in enumerate(ids)}

    def rows_of(self, ids: Iterable[str]) -> dict[str, int]:
        return {document_id: self.rows[document_id] for document_id in ids if document_id in self.rows}


IDS = st.lists(st.integers(0, 40).map(str), max_size=30)


@given(before=st.sets(st.integers(0, 40).map(str)), ids=IDS, batch=st.integers(1, 7))
@pytest.mark.parametrize("existing", ["error", "replace", "skip"])
def test_each_id_passes_once(existing: Existing, before: set[str], ids: list[str], batch: int) -> None:
    stored, report = Stored(sorted(before)), AddReport()
    arriving = ArrivingIds(stored.rows_of, FIRST_NEW, existing, report)
    passed: list[str] = []

    def store() -> None:
        for document in arriving.checked(Document(one, "text") for one in ids):
            passed.append(document.id)
            if len(passed) % batch == 0:  # as the writer does it, some at a time
                for name in list(arriving.in_flight):
                    stored.rows[name] = FIRST_NEW + len(passed)
                    arriving.in_flight.discard(name)

    twice = len(set(ids)) < len(ids)
    if existing == "skip":
        twice = len([one for one in ids if one not in before]) > len(set(ids) - before)
    if twice or (existing == "error" and before & set(ids)):
        with pytest.raises(InputError, match="twice" if not before & set(ids) or existing != "error" else "."):
            store()
        return
    store()
    assert passed == [one for one in ids if existing == "replace" or one not in before]
    assert report.skipped == len(ids) - len(passed)
