// The page: what is typed and chosen -> a search -> what is shown. Answers to what nobody asks any more are dropped.

import * as address from "./address.js";
import * as api from "./api.js";
import { asCurl, asLink, asPython } from "./copying.js";
import * as filters from "./filters.js";
import * as hits from "./hits.js";
import { listen } from "./keys.js";
import * as notices from "./notices.js";
import { follow } from "./pointing.js";
import { byId, counted } from "./text.js";
import * as welcome from "./welcome.js";

const PAUSE_MS = 90; // between keys, before the next search
const REST_MS = 500; // without a key, before the address follows; each change of it has the browser ask for the icon again
const LONGEST_WAIT_S = 10; // before a busy server is asked again

let search = address.read(location.search);
let served = []; // collections, as the server describes them
let fields = {}; // of the collection, to filter by
let running = null; // AbortController of the request under way
let timer = 0;
let addressTimer = 0;
let lastStart = 0;

const current = () => served.find(({ name }) => name === search.collection || name === `${search.collection}.polyvec`);
const shortName = (name) => name.replace(/\.polyvec$/, "");

async function start() {
  follow(byId("strip"));
  follow(byId("hits"));
  follow(byId("welcome"));
  listen({ mode: nextMode, filters: toggleFilters, link: () => copy("link"), theme: nextTheme });
  byId("question").addEventListener("input", (event) => !event.isComposing && typed());
  byId("question").addEventListener("compositionend", typed);
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    typed();
    showAddress(true);
    run();
  });
  byId("modes").addEventListener("change", (event) => choose({ mode: event.target.value }));
  byId("k").addEventListener("change", (event) => choose({ k: Number(event.target.value) }));
  byId("collection").addEventListener("change", (event) => choose({ collection: event.target.value, filters: {}, written: {} }));
  byId("filters-open").addEventListener("click", toggleFilters);
  byId("copying").addEventListener("click", (event) => event.target.dataset.copy && copy(event.target.dataset.copy));
  byId("theme").addEventListener("click", nextTheme);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("token-form").addEventListener("submit", useToken);
  addEventListener("popstate", () => {
    search = { ...address.read(location.search) };
    open();
  });
  showTheme();
  await open();
}

/** Learn what is served, then search as the address says. */
async function open() {
  showChoices();
  try {
    served = (await api.collections()).collections;
  } catch (problem) {
    return fail(problem, open);
  }
  search.collection = shortName(current()?.name ?? served[0]?.name ?? "");
  return openCollection();
}

async function openCollection() {
  showCollections();
  if (!current()) return notices.show("empty", "Nothing is served", ["Start the server with an index: polyvec serve my.polyvec"]);
  try {
    Object.assign(current(), await api.collection(search.collection));
  } catch (problem) {
    return fail(problem, openCollection);
  }
  fields = filters.usable(current().fields);
  search.filters = address.understood(search.written ?? {}, fields);
  search.written = {};
  showFields();
  showCollections();
  showAddress(true);
  return run();
}

function showFields() {
  const any = filters.show(fields, search.filters, (filters) => choose({ filters }));
  byId("filters").hidden = !any;
  byId("filters-open").hidden = !any;
}

function showChoices() {
  byId("question").value = search.query;
  byId("k").value = String(search.k);
  byId("modes").querySelector(`[value=${search.mode}]`).checked = true;
}

function showCollections() {
  const select = byId("collection");
  select.hidden = served.length < 2;
  select.replaceChildren(...served.map(({ name }) => new Option(shortName(name), shortName(name), false, name === current()?.name)));
  const one = current();
  if (!one) return;
  const languages = Object.keys(one.languages ?? {}).length;
  const facts = [counted(one.documents, "document"), languages > 1 ? counted(languages, "language") : null, one.model];
  byId("facts").textContent = [served.length < 2 ? shortName(one.name) : null, ...facts].filter(Boolean).join(" · ");
}

function choose(changes) {
  const other = "collection" in changes && changes.collection !== search.collection;
  search = { ...search, ...changes };
  showAddress(true);
  if (other) openCollection();
  else run();
}

function typed() {
  search.query = byId("question").value;
  clearTimeout(timer);
  const wait = performance.now() - lastStart > PAUSE_MS ? 0 : PAUSE_MS;
  timer = setTimeout(run, wait);
}

/** What was chosen or entered is kept as an entry of the history; what is typed on from there is one more entry. */
function showAddress(kept = false) {
  clearTimeout(addressTimer);
  const query = search.query.trim();
  document.title = query ? `${query} · polyvec` : "polyvec";
  const now = address.write(search, served.length === 1);
  const same = new URL(now, document.baseURI).search === location.search;
  if (!same && history.state?.kept) history.pushState({ kept }, "", now);
  else if (!same || (kept && !history.state?.kept)) history.replaceState({ kept }, "", now);
}

async function run(tries = 0) {
  clearTimeout(timer);
  lastStart = performance.now();
  running?.abort();
  running = null;
  const asked = { ...search, query: search.query.trim() };
  clearTimeout(addressTimer);
  addressTimer = setTimeout(showAddress, REST_MS, false);
  byId("copying").hidden = !asked.query;
  if (!current()) return;
  if (current().documents === 0) return nothingToSearch();
  if (!asked.query) return showWelcome();
  const mine = new AbortController();
  running = mine;
  byId("ask").classList.add("waiting");
  try {
    const answer = await api.search({ ...address.body(asked), explain: true }, mine.signal);
    if (mine !== running) return;
    showAnswer(answer, asked);
  } catch (problem) {
    if (mine !== running) return;
    if (!(problem instanceof api.Problem)) throw problem;
    if (problem.retryAfter && problem.retryAfter <= LONGEST_WAIT_S && tries === 0) {
      timer = setTimeout(() => run(1), 1000 * problem.retryAfter);
    }
    fail(problem, () => run());
  } finally {
    if (mine === running || running === null) byId("ask").classList.remove("waiting");
  }
}

function showAnswer(answer, asked) {
  performance.mark("polyvec-answer");
  const [result] = answer.results;
  welcome.hide();
  notices.hide();
  hits.show(result);
  if (!result.hits.length) {
    notices.showNothing(asked, clearFilters, () => useMode("late"));
  }
  const found = `${counted(result.hits.length, "hit")} of ${counted(current().documents, "document")}`;
  byId("legend").textContent = `${found} · ${Math.max(1, Math.round(answer.took_ms))} ms`;
  say(found);
  performance.measure("polyvec-show", "polyvec-answer");
}

function showWelcome() {
  byId("ask").classList.remove("waiting");
  hideAnswer();
  notices.hide();
  if (byId("welcome").hidden) welcome.show(current(), ask);
}

function nothingToSearch() {
  hideAnswer();
  welcome.hide();
  notices.showEmpty(search.collection, openCollection);
}

function hideAnswer() {
  byId("hits").replaceChildren();
  byId("strip").hidden = true;
  say("");
}

function fail(problem, again) {
  if (problem.name === "AbortError") return;
  hideAnswer();
  welcome.hide();
  const denied = problem.status === 401 || problem.status === 403;
  const buttons = denied ? [["Enter a token", () => askForToken(problem)]] : [["Try again", again]];
  notices.showProblem(problem, buttons);
  say(`${problem.title}. ${problem.detail}`);
  if (denied) askForToken(problem);
}

function ask(question) {
  byId("question").value = question;
  byId("question").focus();
  choose({ query: question });
}

function clearFilters() {
  search.filters = {};
  showFields();
  choose({});
}

function useMode(mode) {
  byId("modes").querySelector(`[value=${mode}]`).checked = true;
  choose({ mode });
}

function nextMode() {
  useMode(address.MODES[(address.MODES.indexOf(search.mode) + 1) % address.MODES.length]);
  say(`Mode: ${byId("modes").querySelector(":checked + span").textContent}`);
}

function toggleFilters() {
  const aside = byId("filters");
  if (aside.hidden) return;
  const shown = aside.classList.toggle("open");
  byId("filters-open").setAttribute("aria-expanded", String(shown));
  if (shown || getComputedStyle(aside).display !== "none") aside.querySelector("input")?.focus();
}

async function copy(what) {
  showAddress(true);
  const text = { link: asLink, curl: asCurl, python: asPython }[what]({ ...search, query: search.query.trim() });
  try {
    await navigator.clipboard.writeText(text);
    const button = byId("copying").querySelector(`[data-copy=${what}]`);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
    say("Copied.");
  } catch {
    byId("copied-text").value = text; // no clipboard here: an insecure origin, or not allowed
    byId("copied").showModal();
    byId("copied-text").select();
  }
}

function askForToken(problem) {
  byId("token-why").textContent = problem.detail ?? "";
  byId("token-value").value = "";
  if (!byId("token").open) byId("token").showModal();
}

function useToken(event) {
  if (event.submitter?.value !== "use") return;
  api.keepToken(byId("token-value").value.trim());
  open();
}

function nextTheme() {
  const shown = document.documentElement.dataset.theme ?? "";
  const next = { "": "light", light: "dark", dark: "" }[shown];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("polyvec-theme", next);
  } catch {
    // not kept where storage is forbidden
  }
  showTheme();
}

function showTheme() {
  const shown = document.documentElement.dataset.theme ?? "";
  byId("theme").textContent = { "": "◐", light: "○", dark: "●" }[shown];
  byId("theme").setAttribute("aria-label", `Colors: ${shown || "as the system has them"}`);
}

function say(text) {
  byId("status").textContent = text;
}

start();
