"""Pointing at words, both ways, with a pointer, a finger and keys alone."""

from __future__ import annotations

import pytest

from tests.serve.page.conftest import BEES, Visit

pytestmark = pytest.mark.heavy


def _word(text: str) -> str:
    return f"#words button:text-is('{text}')"


def test_words_that_decided_are_tinted_and_those_of_grammar_are_not(visit: Visit) -> None:
    page = visit.open(BEES)
    weights = page.locator("article[data-id=honeybee-es] .text .met").evaluate_all(
        "all => Object.fromEntries(all.map((one) => [one.textContent, Number(one.style.getPropertyValue('--weight'))]))"
    )
    assert weights["flores"] > 0.5
    assert weights["abejas"] > 0.3
    assert all(weights.get(word, 0) == 0 for word in ("son", "lo", "a"))


def test_a_word_of_the_question_lights_what_it_met_in_each_hit(visit: Visit) -> None:
    page = visit.open(BEES)
    page.hover(_word("flowers"))
    lit = page.locator(".met.lit")
    assert set(lit.all_inner_texts()) >= {"flores", "花", "flowers"}
    similarity = page.locator("article[data-id=honeybee-es] .met.lit").get_attribute("data-similarity")
    assert float(similarity or 0) == pytest.approx(0.81, abs=0.05)
    assert page.locator("article[data-id=honeybee-es] .part.lit").count() == 1
    page.hover("#question")
    assert lit.count() == 0


def test_a_word_of_a_hit_lights_what_found_it(visit: Visit) -> None:
    page = visit.open(BEES)
    page.locator("article[data-id=honeybee-es] .met", has_text="flores").hover()
    assert "flowers" in page.locator("#words .lit").all_inner_texts()
    assert page.locator("#tip").is_visible()
    found = page.locator("#tip span", has_text="flowers")
    assert float(found.locator("b").inner_text()) == pytest.approx(0.81, abs=0.05)
    page.hover("#question")
    assert page.locator("#tip").is_hidden()


def test_a_click_keeps_a_word_lit_until_escape(visit: Visit) -> None:
    page = visit.open(BEES)
    page.click(_word("tell"))
    page.hover("#question")
    assert page.locator(_word("tell")).get_attribute("aria-pressed") == "true"
    assert page.locator(".met.lit").count() > 3
    page.keyboard.press("Escape")
    assert page.locator(".met.lit").count() == 0
    assert page.locator(_word("tell")).get_attribute("aria-pressed") == "false"


def test_a_finger_lights_words_too(phone: Visit) -> None:
    page = phone.open(BEES)
    page.locator(_word("flowers")).tap()
    assert "flores" in page.locator(".met.lit").all_inner_texts()


def test_everything_is_reached_by_keys_alone(visit: Visit) -> None:
    page = visit.open()
    page.keyboard.type(BEES)
    page.wait_for_function("() => document.querySelector('#words').textContent.endsWith('are?')")
    focused = "document.activeElement"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{focused}.dataset.id") == visit.shown()[0]
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{focused}.dataset.id") == visit.shown()[1]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{focused}.className").startswith("met")
    assert page.locator("#tip").is_visible()
    assert "found by" in page.locator("#status").inner_text()
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") != "none"
    page.keyboard.press("/")
    assert page.evaluate(f"{focused}.id") == "question"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}.matches('#words button')"):
            break
    else:
        pytest.fail("the question's words are not reached with Tab")
    first = page.evaluate(f"{focused}.textContent")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{focused}.textContent") != first
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.getAttribute('aria-pressed')") == "true"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.evaluate(f"{focused}.id") == "question"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    page.wait_for_function("() => location.search.includes('mode=keyword')")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_start_page_explains_by_pointing(visit: Visit) -> None:
    page = visit.open()
    assert page.locator("figure path").count() > 5
    assert "flores" in page.locator("figure .answer").inner_text()
    page.hover("figure .asked button:text-is('flowers')")
    assert page.locator("figure .met.lit").all_inner_texts() == ["flores"]
    assert page.locator("figure path.lit").count() == 1
    page.locator("figure .met", has_text="cuenta").hover()
    assert "tell" in page.locator("#tip").inner_text()
    page.get_by_role("button", name="中文").click()
    assert "花" in page.locator("figure .answer").inner_text()
    page.hover("figure .asked button:text-is('tell')")
    assert page.locator("figure .met.lit").all_inner_texts() == ["告诉"]
