"""Whole builds on a Ray cluster of three hosts: processes, a host and the driver are killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvec.cluster.building.build import build_shards
from polyvec.errors import InputError
from polyvec.publish.published_shards import newest_shards, pull_shards
from tests.cluster.builds import check_same_as_one_machine, rows, write_lines
from tests.cluster.machines import Noting, machines

pytest.importorskip("ray", reason="a cluster needs Ray: pip install 'polyvec[ray]'")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray's sockets and pipes
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with machines(1, 2, 2) as made:
        yield made


def test_a_folder_of_shards(cluster: Any, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(300))
    make = Noting(tmp_path / "notes", 0.01)
    done = build_shards(docs, tmp_path / "shards", shards=3, encoder=make, encoders=3, block_documents=25)
    assert done.documents == 300
    assert len({host for host, _ in make.processes()}) > 1
    check_same_as_one_machine(tmp_path / "shards", docs, tmp_path)


def test_what_is_wrong_with_documents_comes_back_as_what_it_is(cluster: Any, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", [*rows(60), {"id": "odd", "text": "..."}, *rows(60, seed=1)])
    with pytest.raises(InputError, match="empty text"):
        build_shards(docs, tmp_path / "shards", encoder=Noting(tmp_path / "notes"), block_documents=25)
    assert sorted(os.listdir(tmp_path)) == ["docs.jsonl", "notes"]


def test_the_driver_is_killed_and_the_same_command_goes_on(cluster: Any, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(300))
    make = Noting(tmp_path / "notes", 0.02)
    url = (tmp_path / "bucket").as_uri()
    code = (
        "import sys; from pathlib import Path; from tests.cluster.machines import Noting; "
        "from polyvec.cluster.building.build import build_shards; "
        "build_shards(sys.argv[1], sys.argv[2], shards=3, block_documents=20, encoder=Noting(Path(sys.argv[3]), 0.02), "
        "encoders=2, address=sys.argv[4])"
    )
    pieces = tmp_path / "bucket" / "build" / "pieces"
    driver = subprocess.Popen(
        [sys.executable, "-c", code, docs, url, tmp_path / "notes", cluster.address],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: driver.poll() is not None or (pieces.is_dir() and len(list(pieces.iterdir())) >= 3))
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    done = build_shards(docs, url, shards=3, block_documents=20, encoder=make, encoders=2)
    assert 0 < done.known < 300
    assert newest_shards(url).documents == 300
    pull_shards(url, tmp_path / "pulled")
    check_same_as_one_machine(tmp_path / "pulled", docs, tmp_path)


def test_a_process_and_then_a_host_are_killed(cluster: Any, tmp_path: Path) -> None:
    host = cluster.add_node(num_cpus=2, object_store_memory=100_000_000, node_ip_address="127.0.0.9")
    docs = write_lines(tmp_path / "docs.jsonl", rows(600))
    make = Noting(tmp_path / "notes", 0.02)
    killed: list[str] = []

    def progress(what: str, done: int, total: int | None) -> None:
        if what != "encoding":
            return
        if done == 0:
            make.forget()  # what encoded the sample is gone
        others = [process for address, process in make.processes() if address != "127.0.0.9"]
        if done >= 50 and others and not killed:
            killed.append("process")
            os.kill(others[-1], signal.SIGKILL)
        if done >= 150 and killed == ["process"]:
            killed.append("host")
            cluster.remove_node(host, allow_graceful=False)

    done = build_shards(
        docs,
        (tmp_path / "bucket").as_uri(),
        shards=4,
        encoder=make,
        encoders=4,
        block_documents=25,
        progress=progress,
    )
    assert killed == ["process", "host"]
    assert done.documents == 600
    pull_shards((tmp_path / "bucket").as_uri(), tmp_path / "pulled")
    check_same_as_one_machine(tmp_path / "pulled", docs, tmp_path)


def until(condition: Any, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
