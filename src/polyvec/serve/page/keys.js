// The keyboard: from the question to the hits, through their words, and back.

import { release } from "./pointing.js";
import { byId } from "./text.js";

/** Listen. actions: {mode, filters, link, theme}, called for m, f, l, t. */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const taken = event.key === "Escape" ? escape() : inField(event.target) ? fromField(event) : elsewhere(event, actions);
    if (taken) event.preventDefault();
  });
}

const inField = (target) => target.matches("input:not([type=radio], [type=checkbox]), select, textarea");

function escape() {
  if (release()) return true;
  const question = byId("question");
  if (document.activeElement === question) return false; // the field clears itself
  question.focus();
  question.select();
  return true;
}

function fromField(event) {
  if (event.target !== byId("question") || event.key !== "ArrowDown") return false;
  return focus(byId("hits").querySelector("article"));
}

function elsewhere(event, actions) {
  const { key, target } = event;
  const word = target.closest("button[data-word]");
  const article = target.closest("article");
  if (key === "/") {
    byId("question").focus();
    byId("question").select();
    return true;
  }
  if (key === "?") {
    byId("help").showModal();
    return true;
  }
  const action = { m: actions.mode, f: actions.filters, l: actions.link, t: actions.theme }[key];
  if (action) {
    action();
    return true;
  }
  if (target.matches("input")) return false; // arrows choose among its kind
  if (key === "ArrowDown" || key === "ArrowUp") return article || word ? move(article, key === "ArrowDown") : false;
  if (key === "ArrowRight" || key === "ArrowLeft") {
    const within = word ? word.parentElement : article;
    return within ? along(within, target, key === "ArrowRight") : false;
  }
  return false;
}

/** To the next or the previous hit; above the first one stands the question. */
function move(article, down) {
  const articles = [...byId("hits").querySelectorAll("article")];
  const at = articles.indexOf(article) + (down ? 1 : -1);
  if (at < 0) return focus(byId("question"));
  const next = articles[at];
  if (!next) return true;
  for (const other of articles) other.tabIndex = other === next ? 0 : -1;
  return focus(next);
}

/** To the next word that met, as the text runs on the screen. */
function along(within, target, right) {
  const words = [...within.querySelectorAll(".met, button[data-word]")];
  const at = words.indexOf(target.closest(".met, button[data-word]"));
  const around = at < 0 ? within.querySelector(".text") : within;
  const forward = right === (getComputedStyle(around ?? within).direction === "ltr" || !around);
  const next = at < 0 ? words[forward ? 0 : words.length - 1] : words[(at + (forward ? 1 : -1) + words.length) % words.length];
  if (next?.matches("button")) for (const word of words) word.tabIndex = word === next ? 0 : -1;
  return focus(next);
}

function focus(element) {
  if (!element) return false;
  element.focus();
  if (!element.matches("input")) element.scrollIntoView({ block: "nearest" });
  return true;
}
