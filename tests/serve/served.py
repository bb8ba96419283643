"""A small collection behind a server of its own, until it is told to stop: python -m tests.serve.served FOLDER PORT."""

from __future__ import annotations

import sys
from pathlib import Path

import polyvec
from polyvec.serve.collections import open_collections
from polyvec.serve.config import load_config
from polyvec.serve.lifecycle import run_server
from tests.conftest import WordEncoder
from tests.serve.conftest import DOCUMENTS

if __name__ == "__main__":
    path, encoder = Path(sys.argv[1]), WordEncoder()
    if not path.exists():
        with polyvec.Index.create(path, encoder=encoder) as index:
            index.add(DOCUMENTS)
    config = load_config({"port": int(sys.argv[2]), "log_format": "none"})
    run_server(open_collections([path], encoder=encoder), config, started=lambda address: print(address, flush=True))
