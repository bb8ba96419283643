"""Every call of /openapi.json with thousands of made-up requests, good and bad: python -m tests.serve.contract --cases 10000.

schemathesis makes the requests and checks the answers against the description. One of its checks is left out, as no schema says it:
that every request which fits the schema is accepted. A text of spaces fits, and is refused as in Python. It cannot make lines of
JSON either, which PUT /v1/vectors takes and nothing else.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CALLS = 17  # operations that are described
ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000, help="about how many requests in all")
    options = parser.parse_args()
    output = check(max(1, options.cases // CALLS))
    print(output)
    return 0 if passed(output) else 1


def check(examples: int, seed: int | None = None) -> str:
    """What schemathesis says after so many examples a call; other ones each time where no seed is given."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.serve.served", str(Path(folder) / "wiki.polyvec"), "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            asked = ["--phases", "coverage,fuzzing,stateful", "--max-examples", str(examples), "--continue-on-failure"]
            asked += [] if seed is None else ["--seed", str(seed)]
            asked += ["--exclude-checks", "positive_data_acceptance", "--no-color", "--exclude-path", "/v1/vectors"]
            command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *asked]
            ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
            assert server.poll() is None, "the server ended"
            return ran.stdout + ran.stderr
        finally:
            server.terminate()
            server.wait(40)
            assert server.stdout is not None
            server.stdout.close()


def passed(output: str) -> bool:
    """Whether requests were made and all their answers were right."""
    return re.search(r"\d+ generated, \d+ passed", output) is not None and "Failures:" not in output


if __name__ == "__main__":
    sys.exit(main())
