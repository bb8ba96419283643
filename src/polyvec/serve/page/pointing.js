// Pointing, both ways: at a word of the question, which lights what it met in each hit; at a word of a hit, which
// lights what found it. A click, a tap or Enter keeps a word of the question lit.
//
// An element of a question's word has data-word="start-end"; one of a hit's word has `found`: [{key, similarity, weight}].

import { byId, make } from "./text.js";

const root = document.documentElement;
let lights = new Map(); // key of a question's word -> {elements: [{element, similarity}], name}
let lit = [];
let keptKey = null;

/** Start over with a new answer's words. */
export function forget() {
  quench();
  lights = new Map();
  keptKey = null;
}

/** A word of the question named `name` has these elements: buttons, marks, parts of bars. */
export function register(key, name, element, similarity = null) {
  if (!lights.has(key)) lights.set(key, { name, elements: [] });
  const light = lights.get(key);
  light.name ||= name;
  light.elements.push({ element, similarity });
}

/** Follow pointer, focus and clicks within an element. */
export function follow(container) {
  container.addEventListener("pointerover", (event) => pointAt(event.target));
  container.addEventListener("pointerleave", rest);
  container.addEventListener("focusin", (event) => pointAt(event.target));
  container.addEventListener("focusout", rest);
  container.addEventListener("click", (event) => {
    const word = event.target.closest("button[data-word]");
    if (word) keep(word.dataset.word);
    else if (event.target.closest(".met")) pointAt(event.target);
  });
}

/** Let a kept word go. True if there was one. */
export function release() {
  const had = keptKey !== null;
  if (had) keep(keptKey);
  return had;
}

function keep(key) {
  keptKey = keptKey === key ? null : key;
  for (const [other, { elements }] of lights) {
    for (const { element } of elements) {
      if (element.matches("button[data-word]")) element.setAttribute("aria-pressed", String(other === keptKey));
    }
  }
  rest();
}

function rest() {
  if (keptKey !== null) lightWord(keptKey);
  else quench();
}

function pointAt(target) {
  const met = target.closest?.(".met");
  const word = target.closest?.("[data-word]");
  if (met?.found) lightMet(met);
  else if (word) lightWord(word.dataset.word);
  else rest();
}

function quench() {
  for (const element of lit) element.classList.remove("lit", "faint");
  lit = [];
  delete root.dataset.pointing;
  byId("tip").hidden = true;
}

function light(element, name = "lit") {
  element.classList.add(name);
  lit.push(element);
}

function lightWord(key) {
  quench();
  root.dataset.pointing = "word";
  for (const { element, similarity } of lights.get(key)?.elements ?? []) {
    if (element.matches(".met")) element.dataset.similarity = similarity.toFixed(2);
    light(element);
  }
}

function lightMet(met) {
  quench();
  root.dataset.pointing = "met";
  light(met);
  const row = met.closest("article, figure");
  for (const { key } of met.found) {
    for (const { element } of lights.get(key)?.elements ?? []) {
      if (element.matches("button, path") || (element.matches(".part") && row?.contains(element))) light(element);
    }
  }
  showTip(met);
}

/** What found this word, best first, in a small label above it. */
function showTip(met) {
  const tip = byId("tip");
  const best = [...met.found].sort((a, b) => b.similarity - a.similarity).slice(0, 4);
  tip.replaceChildren(
    ...best.map(({ key, similarity }) =>
      make("span", {}, make("bdi", {}, lights.get(key)?.name ?? ""), make("b", {}, similarity.toFixed(2))),
    ),
  );
  tip.hidden = false;
  const word = met.getClientRects()[0];
  const left = Math.max(8, Math.min(word.left + word.width / 2 - tip.offsetWidth / 2, root.clientWidth - tip.offsetWidth - 8));
  const above = word.top - tip.offsetHeight - 6;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 8 ? above : word.bottom + 6}px`;
  if (met === document.activeElement) {
    byId("status").textContent = `${met.textContent}: found by ${best
      .map(({ key, similarity }) => `${lights.get(key)?.name}, ${similarity.toFixed(2)}`)
      .join("; ")}`;
  }
}
