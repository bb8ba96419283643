// The collection's own fields -> filters with counts. What is chosen: {field: [values]} or {field: {least, most}}.

import { byId, isLanguageField, languageName, make } from "./text.js";

const SHOWN = 8; // values of a field shown at first
const MANY = 30; // distinct values that are worth a choice in a small collection

/** The fields to filter by, of those that the server describes: {name: {range: [least, most]} or {values, more}}. */
export function usable(fields) {
  const found = {};
  for (const { name, types, documents, values, distinct, minimum, maximum } of fields ?? []) {
    if (name === "title" || distinct === 1) continue;
    const choices = values.filter(({ value }) => value !== null);
    if (types.every((type) => type === "number" || type === "null")) found[name] = { range: [minimum, maximum] };
    else if (choices.length > 1 && distinct <= Math.max(MANY, documents / 3)) {
      found[name] = { values: choices, more: distinct - values.length };
    }
  }
  return found;
}

/** Show the fields, with what is chosen; `changed` is called with the new choice. Returns whether there are any. */
export function show(fields, chosen, changed) {
  const current = { ...chosen };
  const change = (name, value) => {
    if (value === null) delete current[name];
    else current[name] = value;
    clear.hidden = Object.keys(current).length === 0;
    changed({ ...current });
  };
  const clear = make("button", { type: "button", class: "plain", hidden: Object.keys(current).length === 0 }, "clear all");
  clear.addEventListener("click", () => {
    show(fields, {}, changed);
    changed({});
    byId("filters").querySelector("input")?.focus();
  });
  const groups = sorted(fields).map(([name, field]) => {
    const group = field.range ? range(name, field, current, change) : choice(name, field, current, change);
    return make("fieldset", {}, make("legend", {}, name), ...group);
  });
  byId("filters").replaceChildren(make("div", { class: "head" }, make("h2", {}, "Filters"), clear), ...groups);
  return groups.length > 0;
}

const sorted = (fields) =>
  Object.entries(fields).sort(([a], [b]) => Number(isLanguageField(b)) - Number(isLanguageField(a)));

function choice(name, field, current, change) {
  const chosen = new Set(current[name] ?? []);
  const list = make("ul");
  for (const { value, documents: count } of field.values) {
    const box = make("input", { type: "checkbox", checked: chosen.has(value) });
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(value);
      else chosen.delete(value);
      change(name, chosen.size ? [...chosen] : null);
    });
    const shown = isLanguageField(name) ? languageName(String(value)) : String(value);
    const hidden = list.children.length >= SHOWN && !chosen.has(value);
    list.append(make("li", { hidden }, make("label", {}, box, make("bdi", {}, shown), make("span", {}, count.toLocaleString("en")))));
  }
  const extra = list.querySelectorAll("li[hidden]").length;
  if (!extra) return [list, rest(field)];
  const more = make("button", { type: "button", class: "plain" }, `${extra} more`);
  more.addEventListener("click", () => {
    const items = [...list.querySelectorAll("li[hidden]")];
    for (const item of items) item.hidden = false;
    more.remove();
    items[0].querySelector("input").focus();
  });
  return [list, more, rest(field)];
}

const rest = (field) => (field.more > 0 ? make("p", { class: "small" }, `${field.more.toLocaleString("en")} rarer values`) : null);

function range(name, field, current, change) {
  const given = current[name] ?? { least: null, most: null };
  const box = (bound, usual, label) => {
    const input = make("input", { type: "number", step: "any", placeholder: usual, value: given[bound], "aria-label": `${name} ${label}` });
    input.addEventListener("change", () => {
      given[bound] = input.value === "" ? null : Number(input.value);
      change(name, given.least === null && given.most === null ? null : { ...given });
    });
    return input;
  };
  return [make("div", { class: "range" }, box("least", field.range[0], "from"), "–", box("most", field.range[1], "to"))];
}
