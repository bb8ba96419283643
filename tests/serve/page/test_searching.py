"""Searching in the page: typing, choosing, filters, links, copies."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import pytest

from tests.serve.page.conftest import BEES, Visit

pytestmark = pytest.mark.heavy


def test_hits_come_while_typing(visit: Visit) -> None:
    page = visit.open()
    assert page.locator("#welcome h1").is_visible()
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type("how do bees", delay=30)
    page.wait_for_selector("#hits article")
    assert page.locator("#welcome").is_hidden()
    page.keyboard.type(" tell each other where the flowers are", delay=10)
    page.wait_for_function("() => document.querySelector('#words').textContent.endsWith('flowers are')")
    assert {one.partition("-")[0] for one in visit.shown()[:3]} == {"honeybee"}
    first = page.locator("#hits article").first
    assert first.locator("h3").inner_text()
    assert first.locator(".language").inner_text() in ("Spanish", "Portuguese", "English")
    assert float(first.locator(".score").inner_text()) > 5
    assert first.locator(".bar .part").count() > 5
    assert "of 280 documents" in page.locator("#legend").inner_text()
    page.fill("#question", "")
    page.wait_for_selector("#welcome h1")
    assert page.locator("#hits article").count() == 0


def test_questions_to_try_are_asked_with_a_click(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="为什么看不到月球的背面？").click()
    page.wait_for_selector("#hits article[data-id=moon-zh]")
    assert page.input_value("#question") == "为什么看不到月球的背面？"
    page.go_back()
    page.wait_for_selector("#welcome h1")


def test_few_requests_for_fast_typing(visit: Visit) -> None:
    page = visit.open()
    page.keyboard.type(BEES, delay=1)
    page.wait_for_function("() => document.querySelector('#words').textContent.endsWith('are?')")
    asked = [one for one in visit.requests if one.endswith("v1/search")]
    assert len(asked) < len(BEES) / 2


def test_the_answer_to_an_earlier_question_is_dropped(visit: Visit) -> None:
    page = visit.open()
    held: list[Any] = []
    page.route(
        "**/v1/search", lambda route: held.append(route) if "volcano" in route.request.post_data else route.continue_()
    )
    page.fill("#question", "volcano")
    page.wait_for_function("() => document.querySelector('#ask.waiting')")
    page.fill("#question", "honeybee")
    page.wait_for_selector("#hits article[data-id^=honeybee]")
    before = visit.shown()
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    assert held
    assert visit.shown() == before
    assert page.locator("#words").inner_text() == "honeybee"


def test_a_composed_character_is_not_searched_half(visit: Visit) -> None:
    page = visit.open()
    page.evaluate(
        """() => { const field = document.querySelector('#question'); field.value = '月q';
        field.dispatchEvent(new InputEvent('input', {isComposing: true, bubbles: true})); }"""
    )
    page.wait_for_timeout(200)
    assert not [one for one in visit.requests if one.endswith("v1/search")]
    page.evaluate(
        """() => { const field = document.querySelector('#question'); field.value = '月球';
        field.dispatchEvent(new CompositionEvent('compositionend', {bubbles: true})); }"""
    )
    page.wait_for_selector("#hits article")
    assert page.locator("#words").inner_text() == "月球"


def test_modes_and_numbers_of_hits(visit: Visit) -> None:
    page = visit.open("Hefe")
    assert len(visit.shown()) == 10
    page.select_option("#k", "20")
    page.wait_for_function("() => document.querySelectorAll('#hits article').length === 20")
    page.check("#modes [value=keyword]")
    page.wait_for_function("() => document.querySelectorAll('#hits article').length < 20")
    assert set(visit.shown()) == {"bread-de"}
    assert "mode=keyword" in page.url
    page.check("#modes [value=hybrid]")
    page.wait_for_function("() => document.querySelectorAll('#hits article').length === 20")
    assert visit.shown()[0] == "bread-de"


def test_filters_have_counts_and_narrow_the_hits(visit: Visit) -> None:
    page = visit.open(BEES)
    languages = page.locator("#filters fieldset", has=page.locator("legend", has_text="lang"))
    german = languages.locator("label", has_text="German")
    assert german.locator("span").inner_text() == "20"
    german.click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.language')].every((one) => one.textContent === 'German')"
    )
    languages.locator("button", has_text="more").click()
    languages.locator("label", has_text="Turkish").click()
    page.wait_for_function(
        "() => new Set([...document.querySelectorAll('.language')].map((one) => one.textContent)).size === 2"
    )
    assert {one.rpartition("-")[2] for one in visit.shown()} == {"de", "tr"}
    assert "f.lang=de&f.lang=tr" in page.url
    page.get_by_role("button", name="clear all").click()
    page.wait_for_function(
        "() => new Set([...document.querySelectorAll('.language')].map((one) => one.textContent)).size > 2"
    )
    assert "f.lang" not in page.url


def test_numbers_are_filtered_by_a_range(visit: Visit) -> None:
    page = visit.open("bees", c="odd")
    assert set(visit.shown()) == {"markup", "long", "emoji"}
    page.get_by_label("year from").fill("2003")
    page.get_by_label("year from").press("Tab")
    page.wait_for_function("() => document.querySelectorAll('#hits article').length === 2")
    page.get_by_label("year to").fill("2005")
    page.get_by_label("year to").press("Tab")
    page.wait_for_function("() => document.querySelectorAll('#hits article').length === 1")
    assert visit.shown() == ["long"]
    assert "f.year=2003..2005" in page.url


def test_a_link_repeats_the_search(visit: Visit) -> None:
    page = visit.open("Wie backt man Brot?", mode="hybrid", k="5", **{"f.lang": "de"})
    shown, link = visit.shown(), page.url
    assert len(shown) == 5
    assert all(one.endswith("-de") for one in shown)
    page.goto("about:blank")
    page.goto(link)
    visit.settle()
    assert visit.shown() == shown
    assert page.input_value("#question") == "Wie backt man Brot?"
    assert page.locator("#modes input:checked").get_attribute("value") == "hybrid"
    assert page.locator("#filters label", has_text="German").locator("input").is_checked()
    assert page.title() == "Wie backt man Brot? · polyvec"


def test_back_and_forward(visit: Visit) -> None:
    page = visit.open("volcano")
    page.fill("#question", "honeybee")
    page.press("#question", "Enter")
    page.wait_for_selector("#hits article[data-id^=honeybee]")
    page.go_back()
    page.wait_for_selector("#hits article[data-id^=volcano]")
    assert page.input_value("#question") == "volcano"
    page.go_forward()
    page.wait_for_function("() => document.querySelector('#question').value === 'honeybee'")


def test_collections_are_switched(visit: Visit) -> None:
    page = visit.open("bees")
    page.select_option("#collection", "odd")
    page.wait_for_selector("#hits article[data-id=emoji]")
    assert "c=odd" in page.url
    assert "3 documents" in page.locator("#facts").inner_text()
    assert page.locator("#filters legend").all_inner_texts() != []


def test_the_search_is_copied_as_link_curl_and_python(visit: Visit) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    question = 'Quand l\'abeille "danse" \\ 🐝 ?'
    page = visit.open(question, mode="hybrid", **{"f.lang": "fr"})

    def copied(name: str) -> str:
        page.locator(f"[data-copy={name}]").click()
        page.wait_for_selector(f"[data-copy={name}].done")
        return str(page.evaluate("navigator.clipboard.readText()"))

    assert copied("link") == page.url
    words = shlex.split(copied("curl").replace("\\\n", " "))
    assert words[:3] == ["curl", "-s", f"{visit.address}v1/search"]
    body = json.loads(words[words.index("-d") + 1])
    assert body == {"query": question, "k": 10, "mode": "hybrid", "collection": "demo", "filter": {"lang": "fr"}}
    call = next(node for node in ast.walk(ast.parse(copied("python"))) if isinstance(node, ast.For)).iter
    assert isinstance(call, ast.Call)
    assert ast.literal_eval(call.args[0]) == question
    assert {one.arg: ast.literal_eval(one.value) for one in call.keywords} == {
        "k": 10,
        "mode": "hybrid",
        "filter": {"lang": "fr"},
    }


def test_without_a_clipboard_the_text_is_shown(visit: Visit) -> None:
    page = visit.open(BEES)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); }")
    page.locator("[data-copy=curl]").click()
    assert page.input_value("#copied-text").startswith("curl ")


def test_the_first_hits_are_shown_at_once_after_the_answer(visit: Visit, record_property: Any) -> None:
    page = visit.open(BEES)
    took = page.evaluate("performance.getEntriesByName('polyvec-show')[0].duration")
    record_property("milliseconds from answer to hits", took)
    assert page.evaluate("performance.getEntriesByName('polyvec-show').length") == 1
