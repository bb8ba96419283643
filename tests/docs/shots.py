"""docs/images/search.png, page-hits.webp and page-dark.webp: the terminal and the search page, as they look now.

python -m tests.docs.shots. Needs the extra `heavy` and a chromium.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

IMAGES = Path(__file__).parents[2] / "docs" / "images"
QUESTION = "How do bees tell each other where the flowers are?"
COMMAND = ["search", "demo.polyvec", QUESTION, "-k", "3", "--explain"]
TERMINAL = """<body style="margin:0">
<pre id="terminal" style="display:inline-block;margin:0;padding:16px 24px;background:#14161b;color:#e4e4e4;
font:15px/20px 'DejaVu Sans Mono','Noto Sans Mono',monospace"><code style="font-family:inherit">{code}</code></pre>
</body>"""


def draw(folder: Path, browser: Browser) -> None:
    """Write the pictures anew."""
    polyvec = [sys.executable, "-m", "polyvec"]
    subprocess.run([*polyvec, "demo", "demo.polyvec"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.set_content(_terminal(polyvec, folder))
    page.locator("#terminal").screenshot(path=IMAGES / "search.png")
    with _served(polyvec, folder) as port:
        for scheme, name, pointed in (
            ("light", "page-hits", "#words button:text-is('flowers')"),
            ("dark", "page-dark", "article[data-id=honeybee-es] .met:text-is('flores')"),
        ):
            page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme=scheme)
            page.goto(f"http://127.0.0.1:{port}/?q={quote(QUESTION)}")
            page.wait_for_selector(".met")
            page.hover(pointed)
            page.wait_for_timeout(500)
            shot = Image.open(io.BytesIO(page.screenshot()))
            shot.save(IMAGES / f"{name}.webp", quality=88, method=6)


def _terminal(polyvec: list[str], folder: Path) -> str:
    """What a terminal of 100 columns shows, as HTML."""
    colored = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "100"}
    ran = subprocess.run([*polyvec, *COMMAND], cwd=folder, env=colored, capture_output=True, text=True, check=True)
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    words = [f'"{word}"' if " " in word else word for word in COMMAND]
    console.print(Text(f"$ polyvec {' '.join(words)}", style="bold green"))
    console.print(Text.from_ansi(ran.stdout.rstrip()))
    return console.export_html(theme=MONOKAI, inline_styles=True, code_format=TERMINAL)


@contextmanager
def _served(polyvec: list[str], folder: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    server = subprocess.Popen(
        [*polyvec, "serve", "demo.polyvec", "--port", str(port), "--log-format", "none"], cwd=folder
    )
    try:
        while not _ready(port):
            assert server.poll() is None, "the server ended"
            time.sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait()


def _ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
        draw(Path(place), chromium)
        chromium.close()
