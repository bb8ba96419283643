// What stands in place of hits: nothing found, an empty collection, a failure.

import { url } from "./api.js";
import { byId, make } from "./text.js";

/** kind: "nothing", "empty" or "failure" · buttons: [[label, what it does]] */
export function show(kind, title, lines, buttons = []) {
  const notice = byId("notice");
  notice.className = `notice ${kind}`;
  notice.replaceChildren(
    make("h2", {}, title),
    ...lines.filter(Boolean).map((line) => (typeof line === "string" ? make("p", { dir: "auto" }, line) : line)),
    ...buttons.map(([label, act]) => {
      const button = make("button", { type: "button", class: "solid" }, label);
      button.addEventListener("click", act);
      return button;
    }),
  );
  notice.hidden = false;
}

export function hide() {
  byId("notice").hidden = true;
}

export function showEmpty(name, lookAgain) {
  const command = `curl -X PUT '${url(`v1/documents?collection=${encodeURIComponent(name)}`)}' \\\n  -H 'Content-Type: application/json' \\\n  -d '[{"id": "1", "text": "Bees dance.", "lang": "en"}]'`;
  show("empty", `${name} is empty`, [
    "There is nothing to search yet. Documents can be added while the server runs:",
    make("pre", { tabindex: "0" }, command),
  ], [["Look again", lookAgain]]);
}

export function showNothing(search, clearFilters, useLate) {
  const filtered = Object.keys(search.filters).length > 0;
  const lines = [
    filtered ? "No document that passes the filters matches." : null,
    search.mode === "keyword" ? "Keywords need a document with the same words, in the same language. Meaning does not." : null,
  ];
  const buttons = [];
  if (filtered) buttons.push(["Clear the filters", clearFilters]);
  if (search.mode === "keyword") buttons.push(["Search by meaning", useLate]);
  show("nothing", "No hits", lines, buttons);
}

export function showProblem(problem, buttons) {
  show("failure", problem.title, [problem.detail, problem.advice], buttons);
}
