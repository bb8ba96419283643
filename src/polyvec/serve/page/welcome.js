// What stands where no question does: how late interaction works, as a figure to point at, and questions to try.

import figure from "./figure.js";
import { forget, register } from "./pointing.js";
import { byId, cutter, make } from "./text.js";

let redraw = new ResizeObserver(() => {});

/** Show the start page. facts: of the collection, null where none is known · ask: called with a question to try. */
export function show(facts, ask) {
  const section = byId("welcome");
  section.hidden = false;
  const examples = facts?.examples ?? [];
  const tries = examples.map((question) => {
    const button = make("button", { type: "button", class: "example", dir: "auto" }, question);
    button.addEventListener("click", () => ask(question));
    return make("li", {}, button);
  });
  const stage = make("figure", { "aria-label": "A question and a sentence, and which of their words meet" });
  section.replaceChildren(
    make("h1", {}, "Every word looks for its own match."),
    make(
      "p",
      { class: "lead" },
      "A question is not one point here. Each of its words seeks the word nearest in meaning, in any language, and what they find adds up to the score. Point at a word to see what it met.",
    ),
    stage,
    ...(tries.length ? [make("h2", {}, "Try"), make("ul", { class: "examples" }, ...tries)] : []),
  );
  showSentence(stage, figure.sentences[0]);
}

export function hide() {
  redraw.disconnect();
  byId("welcome").hidden = true;
  byId("welcome").replaceChildren();
}

function showSentence(stage, sentence) {
  forget();
  const tabs = figure.sentences.map((other) => {
    const tab = make("button", { type: "button", lang: other.lang, "aria-pressed": String(other === sentence) }, other.name);
    tab.addEventListener("click", () => {
      showSentence(stage, other);
      stage.querySelector("[aria-pressed=true]").focus();
    });
    return tab;
  });
  const threads = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  threads.setAttribute("aria-hidden", "true");
  const question = line("p", "asked", figure.question, asked(sentence));
  const answer = line("p", "answer", sentence.text, answered(sentence));
  answer.lang = sentence.lang;
  stage.replaceChildren(make("div", { class: "tabs", role: "group", "aria-label": "Language of the sentence" }, ...tabs), threads, question, answer);
  const ties = sentence.words.map((word) => tie(threads, question, answer, word));
  redraw.disconnect();
  redraw = new ResizeObserver(() => place(stage, threads, ties));
  redraw.observe(stage);
}

/** A line of text whose words are the given elements. words: [{start, end, element}] */
function line(name, kind, text, words) {
  const source = cutter(text);
  const element = make(name, { class: kind, dir: "auto" });
  let at = 0;
  for (const word of words.sort((a, b) => a.start - b.start)) {
    element.append(source.cut(at, word.start), word.element);
    word.element.textContent = source.cut(word.start, word.end);
    at = word.end;
  }
  element.append(source.cut(at, source.length));
  return element;
}

const keyOf = (word) => `${word[0]}-${word[1]}`;

function asked(sentence) {
  const weights = new Map();
  for (const word of sentence.words) weights.set(keyOf(word), Math.max(weights.get(keyOf(word)) ?? 0, word[5]));
  return [...weights].map(([key, weight]) => {
    const [start, end] = key.split("-").map(Number);
    const element = make("button", { type: "button", "data-word": key, "aria-pressed": "false" });
    element.style.setProperty("--weight", weight);
    register(key, cutter(figure.question).cut(start, end), element);
    return { start, end, element };
  });
}

function answered(sentence) {
  const marks = new Map();
  for (const word of sentence.words) {
    const [, , start, end, similarity, weight] = word;
    const place = `${start}-${end}`;
    if (!marks.has(place)) {
      const element = make("mark", { class: "met", tabindex: "0", "data-place": place });
      element.found = [];
      marks.set(place, { start, end, element, weight: 0 });
    }
    const mark = marks.get(place);
    mark.weight = Math.max(mark.weight, weight);
    mark.element.style.setProperty("--weight", mark.weight);
    mark.element.found.push({ key: keyOf(word), similarity, weight });
    register(keyOf(word), "", mark.element, similarity);
  }
  return [...marks.values()];
}

function tie(threads, question, answer, word) {
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.style.setProperty("--weight", word[5]);
  threads.append(path);
  register(keyOf(word), "", path);
  const from = question.querySelector(`[data-word="${keyOf(word)}"]`);
  const to = answer.querySelector(`[data-place="${word[2]}-${word[3]}"]`);
  return { path, from, to };
}

function place(stage, threads, ties) {
  const frame = stage.getBoundingClientRect();
  threads.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  for (const { path, from, to } of ties) {
    const [a, b] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
    const [x, y] = [a.left + a.width / 2 - frame.left, a.bottom - frame.top];
    const [toX, toY] = [b.left + b.width / 2 - frame.left, b.top - frame.top];
    const bend = (toY - y) * 0.55;
    path.setAttribute("d", `M${x} ${y}C${x} ${y + bend} ${toX} ${toY - bend} ${toX} ${toY}`);
  }
}
