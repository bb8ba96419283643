// Calls to the server this page came from. Each failure becomes one Problem that says what to do.

const TOKEN = "polyvec-token";
let kept = null; // where storage is forbidden

export function token() {
  try {
    return sessionStorage.getItem(TOKEN) ?? kept;
  } catch {
    return kept;
  }
}

export function keepToken(value) {
  kept = value;
  try {
    if (value) sessionStorage.setItem(TOKEN, value);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // kept for as long as the page is open
  }
}

export class Problem extends Error {
  constructor(status, title, detail, advice, retryAfter) {
    super(detail || title);
    Object.assign(this, { status, title, detail, advice, retryAfter });
  }
}

export const url = (path) => new URL(path, document.baseURI).href;

export const collections = (signal) => call("GET", "v1/collections", null, signal);
export const collection = (name, signal) => call("GET", `v1/collections/${encodeURIComponent(name)}`, null, signal);
export const search = (body, signal) => call("POST", "v1/search", body, signal);

async function call(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (token()) headers.Authorization = `Bearer ${token()}`;
  let response;
  try {
    response = await fetch(url(path), { method, headers, body: body ? JSON.stringify(body) : undefined, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer", "It was stopped, or the network is down.", "Start it again, or try again.");
  }
  let answer = null;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && answer) return answer;
  throw new Problem(
    response.status,
    answer?.title ?? `The server answered ${response.status}`,
    answer?.detail ?? "The answer was no JSON.",
    answer?.what_to_do ?? "",
    Number(response.headers.get("Retry-After")) || 0,
  );
}
