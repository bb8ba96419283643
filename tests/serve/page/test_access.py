"""No serious or critical violation that axe-core finds, in any state of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.page.conftest import BEES, Visit, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.heavy

_RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"


def _point(page: Page) -> None:
    page.click("#words button:text-is('flowers')")


def _point_at_hit(page: Page) -> None:
    page.locator("#hits .text .met").first.focus()


STATES: dict[str, tuple[dict[str, str], Callable[[Page], Any]]] = {
    "start page": ({}, lambda page: None),
    "start page, pointing": ({}, lambda page: page.hover("figure .asked button")),
    "hits": ({"query": BEES}, lambda page: None),
    "hits, a word of the question kept": ({"query": BEES}, _point),
    "hits, at a word of a hit": ({"query": BEES}, _point_at_hit),
    "hits from right to left": ({"query": "لماذا تبدو أوراق النبات خضراء؟"}, lambda page: None),
    "filters chosen": ({"query": BEES, "f.lang": "de"}, lambda page: None),
    "no hits": ({"query": "zzzqqq", "mode": "keyword", "f.lang": "de"}, lambda page: None),
    "empty collection": ({"query": "bees", "c": "empty"}, lambda page: None),
    "numbers and long texts": ({"query": "bees dance", "c": "odd"}, lambda page: None),
    "keys": ({"query": BEES}, lambda page: page.click("#help-open")),
    "copy by hand": ({"query": BEES}, lambda page: page.evaluate("document.querySelector('#copied').showModal()")),
    "token": ({"query": BEES}, lambda page: page.evaluate("document.querySelector('#token').showModal()")),
}


@pytest.fixture(scope="module")
def axe() -> str:
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed: make test-all")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(params=["light", "dark", "phone"])
def looked(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Visit]:
    settings = (
        {"viewport": {"width": 390, "height": 844}} if request.param == "phone" else {"color_scheme": request.param}
    )
    yield from visiting(browser, address, reduced_motion="reduce", **settings)


@pytest.mark.parametrize("state", STATES)
def test_no_serious_violation(looked: Visit, axe: str, state: str) -> None:
    parts, act = STATES[state]
    page = looked.open(**parts)
    if state == "keys" and not page.locator("#help-open").is_visible():
        page.locator("article").first.focus()
        page.keyboard.press("?")
    else:
        act(page)
    page.evaluate(axe)
    found = page.evaluate(_RUN)
    serious = [
        (one["id"], [(node["html"][:120], node["failureSummary"]) for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
