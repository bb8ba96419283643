// An answer -> the question's words and the list of hits, each word that met something marked by how much it decided.

import { forget, register } from "./pointing.js";
import { byId, cutter, excerpt, isLanguageField, languageName, languageTag, make } from "./text.js";

const EXCERPT = 560; // characters of a text shown at first
const LONGEST_VALUE = 40; // characters of a metadata value that is shown beside the id

const keyOf = ([start, end]) => `${start}-${end}`;

export function show(result) {
  forget();
  const question = cutter(result.query);
  const shown = result.hits.map((hit) => Object.assign(hit, { marks: marksOf(hit, question) }));
  showQuestion(question, shown);
  const top = shown[0]?.score || 1;
  byId("hits").replaceChildren(...shown.map((hit, i) => hitItem(hit, top, i === 0)));
}

/** The hit's words that met: [{start, end, weight, found: [{key, name, similarity, weight}]}], in reading order. */
function marksOf(hit, question) {
  const marks = new Map();
  for (const word of hit.explanation?.words ?? []) {
    const span = keyOf(word.document_span);
    const [start, end] = word.document_span;
    if (!marks.has(span)) marks.set(span, { start, end, weight: 0, found: [] });
    const mark = marks.get(span);
    mark.weight = Math.max(mark.weight, word.weight);
    const name = question.cut(...word.query_span);
    mark.found.push({ key: keyOf(word.query_span), name, similarity: word.similarity, weight: word.weight });
  }
  return [...marks.values()].sort((a, b) => a.start - b.start);
}

/** The question once more, as words to point at, each underlined by how much it decided anywhere. */
function showQuestion(question, hits) {
  const words = new Map();
  for (const word of hits.flatMap((hit) => hit.explanation?.words ?? [])) {
    const key = keyOf(word.query_span);
    const known = words.get(key) ?? { key, span: word.query_span, weight: 0 };
    words.set(key, { ...known, weight: Math.max(known.weight, word.weight) });
  }
  const parts = [];
  let at = 0;
  for (const { key, span, weight } of [...words.values()].sort((a, b) => a.span[0] - b.span[0])) {
    const [start, end] = span;
    if (start < at) continue;
    if (start > at) parts.push(question.cut(at, start));
    const name = question.cut(start, end);
    const button = make("button", { type: "button", "data-word": key, "aria-pressed": "false" }, name);
    button.tabIndex = parts.some((part) => part.tabIndex === 0) ? -1 : 0;
    button.style.setProperty("--weight", weight);
    register(key, name, button);
    parts.push(button);
    at = end;
  }
  parts.push(question.cut(at, question.length));
  byId("words").replaceChildren(...parts);
  byId("strip").hidden = hits.length === 0;
}

function hitItem(hit, top, first) {
  const text = hit.text ?? "";
  const whole = cutter(hit.explanation?.text ?? text);
  const begin = whole.length - cutter(text).length; // where the text begins, behind the title
  const title = String(hit.metadata.title ?? "") || hit.id;
  const titled = begin > 0 && whole.cut(0, begin - 1) === title;
  const language = hit.metadata.lang ?? hit.metadata.language;
  const tag = languageTag(language);
  const article = make(
    "article",
    { tabindex: first ? "0" : "-1", "aria-label": `Hit ${hit.rank}: ${title}`, "data-id": hit.id },
    bar(hit, top),
    make(
      "header",
      {},
      make("span", { class: "rank" }, String(hit.rank)),
      make("h3", { dir: "auto", lang: tag }, ...(titled ? marked(whole, hit.marks, 0, begin - 1) : [title])),
      language ? make("span", { class: "language", title: String(language) }, languageName(String(language))) : null,
      make("span", { class: "score", title: scoreTitle(hit) }, hit.score.toFixed(hit.score < 100 ? 2 : 1)),
    ),
    hit.text === null ? null : body(hit, whole, begin, tag),
    make("footer", {}, ...facts(hit, title)),
  );
  return make("li", {}, article);
}

function scoreTitle(hit) {
  const lines = [];
  if (hit.normalized_score !== null && hit.normalized_score !== undefined) {
    lines.push(`${Math.round(100 * hit.normalized_score)} % of the highest score this question could get`);
  }
  for (const [name, value] of Object.entries(hit.parts ?? {})) lines.push(`${name} ${value.toFixed(2)}`);
  for (const [name, place] of Object.entries(hit.ranks ?? {})) lines.push(`number ${place} by ${name}`);
  return lines.join("\n");
}

/** The text or an excerpt of it, with a button for the rest. */
function body(hit, whole, begin, tag) {
  const paragraph = make("p", { class: "text", dir: "auto", lang: tag });
  const [start, end] = excerpt(whole, hit.marks, begin, EXCERPT);
  paragraph.append(...marked(whole, hit.marks, start, end));
  if (start > begin) paragraph.prepend("… ");
  if (end < whole.length) paragraph.append(" …");
  if (start === begin && end === whole.length) return paragraph;
  const more = make("button", { type: "button", class: "plain more" }, "whole text");
  more.addEventListener("click", () => {
    paragraph.replaceChildren(...marked(whole, hit.marks, begin, whole.length));
    more.remove();
  });
  return make("div", {}, paragraph, more);
}

/** Texts and marks of a stretch. */
function marked(whole, marks, from, to) {
  const parts = [];
  let at = from;
  for (const mark of marks) {
    if (mark.start < at || mark.end > to) continue;
    parts.push(whole.cut(at, mark.start));
    const element = make("mark", { class: "met", tabindex: "-1" }, whole.cut(mark.start, mark.end));
    element.style.setProperty("--weight", mark.weight);
    element.found = mark.found;
    for (const { key, name, similarity } of mark.found) register(key, name, element, similarity);
    parts.push(element);
    at = mark.end;
  }
  parts.push(whole.cut(at, to));
  return parts.filter((part) => part !== "");
}

/** The score: its length is the share of the highest one, its parts are what each word of the question gave to it. */
function bar(hit, top) {
  const share = hit.normalized_score ?? (top > 0 ? hit.score / top : 0);
  const label = `Score ${hit.score.toFixed(2)}, ${Math.round(100 * share)} %`;
  const element = make("div", { class: "bar", role: "img", "aria-label": label });
  const matches = hit.explanation?.matches ?? [];
  const late = hit.normalized_score !== null && hit.normalized_score !== undefined && matches.length > 0;
  for (const part of late ? partsOf(hit, matches) : [{ share, weight: 0.4 }]) {
    const piece = make("span", { class: part.key ? "part" : "part rest", "data-word": part.key });
    piece.style.setProperty("--share", `${Math.max(0, 100 * part.share)}%`);
    piece.style.setProperty("--weight", part.weight);
    if (part.key) register(part.key, "", piece);
    element.append(piece);
  }
  return element;
}

function partsOf(hit, matches) {
  const found = hit.marks.flatMap((mark) => mark.found);
  const words = new Map();
  let rest = 0;
  for (const match of matches) {
    const given = Math.max(0, match.similarity) / matches.length;
    const at = match.query_span;
    const word = at && found.find(({ key }) => within(at, key));
    if (!word) {
      rest += given;
      continue;
    }
    const weight = Math.max(...found.filter(({ key }) => key === word.key).map((one) => one.weight));
    const known = words.get(word.key) ?? { key: word.key, share: 0, weight };
    words.set(word.key, { ...known, share: known.share + given });
  }
  return [...words.values(), { share: rest, weight: 0 }];
}

function within([start, end], key) {
  const [first, last] = key.split("-").map(Number);
  return start >= first - 1 && start < last && end <= last; // a token may hold the space before its word
}

/** The id, and what else is known of the document in few characters. */
function facts(hit, title) {
  const shown = Object.entries(hit.metadata).filter(
    ([name, value]) =>
      name !== "title" && !isLanguageField(name) && typeof value !== "object" && String(value).length <= LONGEST_VALUE,
  );
  const pairs = shown.slice(0, 6).map(([name, value]) => make("span", {}, `${name} `, make("bdi", {}, String(value))));
  return title === hit.id ? pairs : [make("bdi", { class: "id" }, hit.id), ...pairs];
}
