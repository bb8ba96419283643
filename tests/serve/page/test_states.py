"""What the page shows besides hits, and texts that are not what a page expects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from polyvec import Encoder
from tests.serve.page.conftest import BEES, MARKUP, Visit, serve, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.heavy

SECRET = "a secret of sixteen or more"


def test_markup_in_a_document_is_text(visit: Visit) -> None:
    page = visit.open("page with markup", c="odd")
    article = page.locator("article[data-id=markup]")
    assert article.locator(".text").inner_text() == MARKUP
    assert article.locator("h3").inner_text() == "<b>Bold</b>"
    assert page.locator("#hits script, #hits img, #hits b, #filters i").count() == 0
    assert page.title() == "page with markup · polyvec"


def test_markup_in_a_question_is_text(visit: Visit) -> None:
    page = visit.open("<img src=x onerror=alert(1)> bees")
    assert page.locator("#words").inner_text() == "<img src=x onerror=alert(1)> bees"
    assert page.locator("#words img").count() == 0


def test_offsets_fit_texts_beyond_the_basic_plane(visit: Visit) -> None:
    page = visit.open("🐝 where are the bees and flowers?", c="odd")
    met = page.locator("article[data-id=emoji] .text .met").all_inner_texts()
    assert "Bees" in met
    assert "flowers" in met
    assert "bees" in page.locator("#words button").all_inner_texts()


def test_a_long_text_is_cut_around_what_decided(visit: Visit) -> None:
    page = visit.open("bees dance", c="odd")
    text = page.locator("article[data-id=long] .text")
    shown = text.inner_text()
    assert "Bees dance" in shown
    assert len(shown) < 800
    assert shown.startswith("… ")
    page.locator("article[data-id=long] button", has_text="whole text").click()
    assert len(text.inner_text()) > 3000
    assert not text.inner_text().startswith("…")


def test_text_from_right_to_left_runs_so(visit: Visit) -> None:
    page = visit.open("لماذا تبدو أوراق النبات خضراء؟")
    direction = "one => getComputedStyle(one).direction"
    for place in ("#question", "#words", "article[data-id=photosynthesis-ar] .text", "article[data-id$='-ar'] h3"):
        assert page.locator(place).first.evaluate(direction) == "rtl", place
    assert page.locator("article[data-id=photosynthesis-ar] .text").get_attribute("lang") == "ar"
    page.locator("article[data-id=photosynthesis-ar]").focus()
    page.keyboard.press("ArrowLeft")  # forward, as the text runs
    first = page.locator("article[data-id=photosynthesis-ar] .met").first
    assert first.evaluate("one => one === document.activeElement")


def test_an_empty_collection_says_how_to_fill_it(visit: Visit) -> None:
    page = visit.open("bees", c="empty")
    notice = page.locator("#notice")
    assert "empty is empty" in notice.inner_text()
    assert "v1/documents?collection=empty" in notice.inner_text()
    assert page.locator("#hits article").count() == 0


def test_no_hits_says_why_and_what_to_do(visit: Visit) -> None:
    page = visit.open("zzzqqq", mode="keyword")
    assert "No hits" in page.locator("#notice").inner_text()
    page.get_by_role("button", name="Search by meaning").click()
    page.wait_for_selector("#hits article")
    assert page.locator("#notice").is_hidden()


def test_no_hits_behind_filters_are_cleared(visit: Visit) -> None:
    page = visit.open("Hefe", mode="keyword", **{"f.lang": "tr"})
    page.get_by_role("button", name="Clear the filters").click()
    page.wait_for_selector("#hits article[data-id=bread-de]")


def test_an_error_is_said_and_can_be_tried_again(visit: Visit) -> None:
    page = visit.open("bees")
    page.route("**/v1/search", lambda route: route.abort())
    page.fill("#question", "flowers")
    page.wait_for_selector("#notice.failure")
    assert "The server does not answer" in page.locator("#notice").inner_text()
    assert page.locator("#hits article").count() == 0, "hits of another question would mislead"
    page.unroute("**/v1/search")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector("#hits article")
    assert page.locator("#notice").is_hidden()
    assert len(visit.complaints) == 1  # the browser's own, on the request that failed
    visit.complaints.clear()


def test_what_the_server_refuses_is_said_in_its_words(visit: Visit) -> None:
    page = visit.open("bees")
    page.route(
        "**/v1/search",
        lambda route: route.continue_(post_data=json.dumps({"query": "bees", "k": 0, "collection": "demo"})),
    )
    page.fill("#question", "flowers")
    page.wait_for_selector("#notice.failure")
    assert "k=0" in page.locator("#notice").inner_text()
    visit.complaints.clear()


def test_a_busy_server_is_asked_again_by_itself(visit: Visit) -> None:
    page = visit.open("bees")
    refused: list[str] = []

    def refuse_once(route: object) -> None:
        if refused:
            route.continue_()  # type: ignore[attr-defined]
            return
        refused.append("once")
        problem = json.dumps({"title": "Busy", "status": 429, "detail": "The queue is full."})
        route.fulfill(status=429, headers={"Retry-After": "1"}, body=problem)  # type: ignore[attr-defined]

    page.route("**/v1/search", refuse_once)
    page.fill("#question", "flowers")
    page.wait_for_selector("#notice.failure")
    page.wait_for_selector("#hits article")
    visit.complaints.clear()


@pytest.fixture(scope="module")
def locked(indexes: list[Path], encoder: Encoder) -> Iterator[str]:
    yield from serve(indexes[1:2], encoder, tokens=(f"read:{SECRET}",))


@pytest.fixture
def locked_visit(browser: Browser, locked: str) -> Iterator[Visit]:
    yield from visiting(browser, locked)


def test_a_token_is_asked_for_and_kept_for_the_tab(locked_visit: Visit) -> None:
    page = locked_visit.open("bees", c="")
    assert page.locator("#token").is_visible()
    page.fill("#token-value", SECRET)
    page.keyboard.press("Enter")
    page.wait_for_selector("#hits article")
    page.reload()
    page.wait_for_selector("#hits article")
    assert page.locator("#token").is_hidden()
    assert page.evaluate("Object.values(localStorage).join()") == ""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("[data-copy=curl]").click()
    page.wait_for_selector("[data-copy=curl].done")
    text = page.evaluate("navigator.clipboard.readText()")
    assert "$POLYVEC_TOKEN" in text
    assert SECRET not in text
    locked_visit.complaints.clear()


def test_a_wrong_token_is_refused(locked_visit: Visit) -> None:
    page = locked_visit.open("bees", c="")
    page.fill("#token-value", "not the secret of this server")
    page.keyboard.press("Enter")
    page.wait_for_selector("#token[open]")
    page.get_by_role("button", name="Not now").click()
    assert page.get_by_role("button", name="Enter a token").is_visible()
    assert page.locator("#hits article").count() == 0
    locked_visit.complaints.clear()


@pytest.mark.parametrize("query", ["", BEES, "لماذا تبدو أوراق النبات خضراء؟"])
def test_a_phone_shows_no_more_than_its_width(phone: Visit, query: str) -> None:
    page = phone.open(query)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if query:
        page.locator("#words button").last.tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#filters-open").tap()
    assert page.locator("#filters").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_dark_and_light_are_chosen_and_kept(visit: Visit) -> None:
    page = visit.open(BEES)
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert dark != light
    page.click("#theme")
    assert page.evaluate(background) == light
    page.reload()
    assert page.evaluate(background) == light
    page.click("#theme")
    page.click("#theme")
    assert page.evaluate(background) == dark


def test_nothing_jumps_when_hits_are_replaced(visit: Visit) -> None:
    page = visit.open("bees")
    top = "one => one.getBoundingClientRect().top"
    before = [page.locator(place).first.evaluate(top) for place in ("#ask", "#filters", "#words", "#hits")]
    page.fill("#question", "volcano")
    page.wait_for_selector("#hits article[data-id^=volcano]")
    assert [page.locator(place).first.evaluate(top) for place in ("#ask", "#filters", "#words", "#hits")] == before
