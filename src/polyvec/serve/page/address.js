// The search <-> the page's address, so that a link repeats it; and the search -> the body of a request.
//
// ?q=…&c=collection&mode=keyword&k=20&f.lang=de&f.lang=fr&f.year=1990..2000
// A filter is a list of values, or {least, most} for numbers.

export const MODES = ["late", "keyword", "hybrid"];
export const COUNTS = [5, 10, 20, 50];

export function read(query) {
  const given = new URLSearchParams(query);
  const filters = {};
  for (const [key, value] of given) if (key.startsWith("f.")) (filters[key.slice(2)] ??= []).push(value);
  const k = Number(given.get("k"));
  return {
    query: given.get("q") ?? "",
    collection: given.get("c") ?? "",
    mode: MODES.includes(given.get("mode")) ? given.get("mode") : "late",
    k: COUNTS.includes(k) ? k : 10,
    written: filters,
    filters: {},
  };
}

/** Filters as the address has them, now that the collection's fields say what each of them is. */
export function understood(written, fields) {
  const filters = {};
  for (const [name, values] of Object.entries(written)) {
    const field = fields[name];
    if (!field) continue;
    if (field.range) {
      const [least, most] = values[0].split("..").map((value) => (value === "" ? null : Number(value)));
      if (!Number.isNaN(least) && !Number.isNaN(most ?? null)) filters[name] = { least, most: most ?? null };
    } else {
      const known = new Map(field.values.map(({ value }) => [String(value), value]));
      filters[name] = values.map((value) => known.get(value) ?? value);
    }
  }
  return filters;
}

export function write(search, only) {
  const query = new URLSearchParams();
  if (search.query) query.set("q", search.query);
  if (search.collection && !only) query.set("c", search.collection);
  if (search.mode !== "late") query.set("mode", search.mode);
  if (search.k !== 10) query.set("k", search.k);
  for (const [name, chosen] of Object.entries(search.filters)) {
    if (Array.isArray(chosen)) for (const value of chosen) query.append(`f.${name}`, value);
    else query.set(`f.${name}`, `${chosen.least ?? ""}..${chosen.most ?? ""}`);
  }
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

/** The filter as the API takes it; null for none. */
export function condition(filters) {
  const parts = Object.entries(filters).map(([name, chosen]) => {
    if (Array.isArray(chosen)) return [name, chosen.length === 1 ? chosen[0] : { $in: chosen }];
    const range = {};
    if (chosen.least !== null) range.$gte = chosen.least;
    if (chosen.most !== null) range.$lte = chosen.most;
    return [name, range];
  });
  return parts.length ? Object.fromEntries(parts) : null;
}

export function body(search) {
  const filter = condition(search.filters);
  const request = { query: search.query, k: search.k, mode: search.mode, collection: search.collection };
  return filter ? { ...request, filter } : request;
}
