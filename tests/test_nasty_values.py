"""Nasty values in every argument of every public call, and in every option of every command; see `nasty_values`."""

from __future__ import annotations

from pathlib import Path

import pytest

import polyvec
from polyvec import Index
from polyvec.cli import cli
from tests.nasty_values import run


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # of NumPy, about the values that are tried here
def test_only_our_errors_come_out(tmp_path: Path) -> None:
    report = run(tmp_path, seed=1, python=1500, per_option=2, combinations=4)
    print(report)
    for command in cli.list_commands(None):  # type: ignore[arg-type]
        assert report.calls[f"polyvec {command}"] > 0
    for name in ("maxsim", "rerank", "SearchOptions"):
        assert name in polyvec.__all__
        assert report.calls[name] > 0
    for name in (
        "add",
        "add_vectors",
        "delete",
        "explain",
        "get",
        "scan",
        "search",
        "search_vectors",
        "update_metadata",
        "update",
    ):
        assert hasattr(Index, name)
        assert report.calls[f"Index.{name}"] > 5
        assert report.calls[f"Shards.{name}"] > 5
    assert sum(report.calls.values()) > 1200
    assert not report.findings, str(report)
