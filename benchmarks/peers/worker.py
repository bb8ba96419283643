"""The other end of serving.py: starts an engine's process and asks it; knows which environment each engine runs in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Engine:
    """module: file beside this one · environment: folder that install.sh makes, "" for the one that runs this."""

    name: str
    module: str
    environment: str


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("polyvec", "polyvec_engine", ""),
        Engine("colbert", "colbert_plaid", "colbert"),
        Engine("lancedb", "lancedb_multivector", "lancedb"),
        Engine("fast-plaid", "fast_plaid_cpu", "rust"),
        Engine("xtr-warp-rs", "xtr_warp_cpu", "rust"),
        Engine("tachiom", "tachiom_ivf", "tachiom"),
        Engine("kannolo", "kannolo_rerank", "kannolo"),
    )
}


class Worker:
    """One engine on one index in a process of its own; close it, or use it as a context manager."""

    def __init__(
        self, engine: str, *, peers: Path, cache: Path, index: Path, documents: int, threads: int, nbits: int
    ) -> None:
        chosen = ENGINES[engine]
        binaries = peers / chosen.environment / "bin"
        python = sys.executable if not chosen.environment else str(binaries / "python")
        if not Path(python).exists():
            raise SystemExit(f"{python} is not there: make it with benchmarks/peers/install.sh")
        command = [python, str(HERE / "serving.py"), chosen.module, "--cache", str(cache), "--index", str(index)]
        command += ["--documents", str(documents), "--threads", str(threads), "--nbits", str(nbits)]
        environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
        self.log = index.with_name(index.name + ".log")
        self._log = self.log.open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Raises SystemExit with the engine's last words where its process died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # of a process that died: there is no answer, then
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            tail = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise SystemExit(f"{do} failed: " + "\n".join(tail))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
