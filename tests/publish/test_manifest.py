"""Manifests: read as they were written, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.errors import StorageError
from polyvec.publish.manifest import Manifest, Part, name_of

PART = Part("00000001.seg", 10, "ab" * 32)
MANIFEST = Manifest(
    version=3, publication="p", published="2026-01-01T00:00:00+00:00", polyvec="0.1.0", model="é", fingerprint="f", dim=8,
    documents=2, tokens=5, files=(PART,), catalog=replace(PART, file="catalog", size_bytes=4096),
    packs=(replace(PART, file="pack"),), map=replace(PART, file="map"),
)  # fmt: skip
nonsense = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.just({})
)


def test_it_is_read_as_it_was_written() -> None:
    assert Manifest.from_bytes(MANIFEST.to_bytes(), "it") == MANIFEST
    assert MANIFEST.size_bytes == 10 + 4096
    assert name_of(3) == "versions/000000000003.json"
    assert PART.object == "files/" + "ab" * 32


def test_versions_of_one_state_are_the_same() -> None:
    assert MANIFEST.same_content(replace(MANIFEST, version=4, publication="q"))
    assert not MANIFEST.same_content(replace(MANIFEST, files=()))
    assert not MANIFEST.same_content(None)


@given(key=st.sampled_from(sorted(json.loads(MANIFEST.to_bytes()))), value=nonsense)
def test_nonsense_in_any_place_is_one_line(key: str, value: Any) -> None:
    stored = json.loads(MANIFEST.to_bytes()) | {key: value}
    message = ""
    try:
        Manifest.from_bytes(json.dumps(stored).encode(), "it")
    except StorageError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1


@given(key=st.sampled_from(sorted(json.loads(MANIFEST.to_bytes()))))
def test_what_is_missing_is_refused(key: str) -> None:
    stored = json.loads(MANIFEST.to_bytes())
    del stored[key]
    with pytest.raises(StorageError):
        Manifest.from_bytes(json.dumps(stored).encode(), "it")


@pytest.mark.parametrize(
    "file", ["../00000001.seg", "/etc/00000001.seg", "catalog.sqlite", "1.seg", "00000001.exe", "٠٠٠٠٠٠٠١.seg"]
)
def test_no_name_leads_out_of_the_folder(file: str) -> None:
    stored = json.loads(MANIFEST.to_bytes())
    stored["files"][0]["file"] = file
    with pytest.raises(StorageError, match="is no name of a file of an index"):
        Manifest.from_bytes(json.dumps(stored).encode(), "it")
