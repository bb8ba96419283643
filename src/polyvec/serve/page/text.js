// Making elements, and cutting texts by characters. What users and documents wrote only ever becomes text nodes.

export const byId = (id) => document.getElementById(id);

/** An element with attributes, and children that are elements or strings. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Offsets of the API count characters (code points), strings here count UTF-16 units: a cutter takes the former. */
export function cutter(text) {
  if (!/[\ud800-\udbff]/.test(text)) return { length: text.length, cut: (start, end) => text.slice(start, end) };
  const characters = Array.from(text);
  return { length: characters.length, cut: (start, end) => characters.slice(start, end).join("") };
}

/** Where to begin and end an excerpt of about `limit` characters so that it holds the most weight. */
export function excerpt(source, words, first, limit) {
  if (source.length - first <= limit * 1.25) return [first, source.length];
  const inside = words.filter((word) => word.weight && word.start >= first);
  let best = first;
  let most = 0;
  for (const { start } of inside) {
    const from = Math.max(first, Math.min(start - 60, source.length - limit));
    const weight = inside.reduce((sum, w) => sum + (w.start >= from && w.end <= from + limit ? w.weight : 0), 0);
    if (weight > most + 1e-9) [best, most] = [from, weight];
  }
  const end = Math.min(source.length, best + limit);
  return [best > first ? toSpace(source, best, 1) : first, end < source.length ? toSpace(source, end, -1) : end];
}

function toSpace(source, at, step) {
  for (let i = 0; i < 24; i += 1) {
    if (/\s/.test(source.cut(at + i * step, at + i * step + 1))) return at + i * step + (step > 0 ? 1 : 0);
  }
  return at;
}

let languages = null;

/** The name of a language from its tag, or the tag where it is not known. */
export function languageName(tag) {
  try {
    languages ??= new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });
    return languages.of(tag);
  } catch {
    return tag;
  }
}

/** A value for the attribute `lang`, so that fonts and hyphens are right; null where the tag is none. */
export function languageTag(value) {
  try {
    return typeof value === "string" && value ? Intl.getCanonicalLocales(value)[0] : null;
  } catch {
    return null;
  }
}

export const isLanguageField = (name) => name === "lang" || name === "language";

export const counted = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
