// The search as a link, as a curl command, and as Python.

import { token, url } from "./api.js";
import { body, condition } from "./address.js";

export function asLink() {
  return location.href;
}

export function asCurl(search) {
  const lines = [`curl -s ${quoted(url("v1/search"))}`];
  if (token()) lines.push('-H "Authorization: Bearer $POLYVEC_TOKEN"');
  lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body(search)))}`);
  return lines.join(" \\\n  ");
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function asPython(search) {
  const filter = condition(search.filters);
  const given = [literal(search.query), `k=${search.k}`];
  if (search.mode !== "late") given.push(`mode=${literal(search.mode)}`);
  if (filter) given.push(`filter=${literal(filter)}`);
  const server = [literal(url("./").replace(/\/$/, ""))];
  if (search.collection) server.push(`collection=${literal(search.collection)}`);
  if (token()) server.push('token=os.environ["POLYVEC_TOKEN"]');
  return [
    ...(token() ? ["import os", ""] : []),
    "import polyvec",
    "",
    `with polyvec.Client(${server.join(", ")}) as client:`,
    `    for hit in client.search(${given.join(", ")}):`,
    "        print(hit.rank, round(hit.score, 3), hit.id, hit.title)",
    "",
  ].join("\n");
}

/** A value of JSON as Python writes it. A string of JSON is one of Python too, but for lone halves of pairs. */
function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, one]) => `${literal(key)}: ${literal(one)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
