// Shows how a training goes on, as the server sends it.

const find = (id) => document.querySelector(`#${id}`);
const run = find("training").dataset.run;
const api = `/api/v1${run}/training`;
const ANNOUNCE_MS = 30_000;
const HEARD_MS = 5_000;
/** How often a stopped run is asked for: a stream would hold one of the few connections that a browser has for all pages. */
const PAUSE_MS = 10_000;
/** How often a hidden page asks, for the title of its tab. */
const HIDDEN_MS = 30_000;
/** How often the curves and the output are fetched while epochs are short: those of all epochs, each time. */
const EPOCHS_MS = 3_000;
let state, epoch, announced = 0, events, shown, next, used, later;

const plural = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

function inWords(seconds) {
  if (seconds < 60) return plural(Math.round(seconds), "second");
  if (seconds < 3600) return `${plural(Math.floor(seconds / 60), "minute")} ${seconds % 60 ? `${Math.round(seconds % 60)} s` : ""}`.trim();
  return `${plural(Math.floor(seconds / 3600), "hour")} ${Math.round((seconds % 3600) / 60)} min`;
}

/** The time of a validation is known after the first. */
function timeLeft({ seconds_left: seconds, epoch }) {
  return epoch > 0 ? `About ${inWords(seconds)} until the last epoch is done.` : `At least ${inWords(seconds)} until the last epoch is done.`;
}

/** For screen readers: each new state, and epochs now and then. What was read out goes, as it is soon out of date. */
function announce(text, isNew) {
  if (!isNew && Date.now() - announced < ANNOUNCE_MS) return;
  announced = Date.now();
  find("announcement").textContent = text;
  setTimeout(() => find("announcement").textContent === text && (find("announcement").textContent = ""), HEARD_MS);
}

/** The text at an address; undefined if there is no such answer, which the stream of events shows. */
async function textAt(address) {
  try {
    const response = await fetch(address);
    return response.ok ? await response.text() : undefined;
  } catch {
    return undefined;
  }
}

/** What the server writes for this page: plots without a script. */
async function showCurves() {
  const text = await textAt(`${run}/training/curves`);
  if (text === undefined) return;
  const parsed = new DOMParser().parseFromString(text, "text/html");
  find("curves").replaceChildren(...parsed.body.childNodes);
}

async function showOutput() {
  const text = await textAt(api);
  if (text === undefined) return;
  const { output } = JSON.parse(text);
  find("output").hidden = output.length === 0;
  find("output").querySelector("pre").textContent = output.join("\n");
}

/** Shows the epochs that are done, soon, with those that are done until then. */
function showEpochs() {
  later ??= setTimeout(() => {
    later = undefined;
    showCurves();
    showOutput();
  }, EPOCHS_MS);
}

function showReport() {
  const place = find("report");
  if (place.querySelector("iframe")) return;
  const [line, link, frame] = ["p", "a", "iframe"].map((name) => document.createElement(name));
  link.href = frame.src = place.dataset.report;
  link.textContent = "The report on a page of its own";
  frame.title = "Report";
  line.append(link);
  place.append(line, frame);
}

/** Once the images are read; not every kind of data can be shown. */
function showSamples() {
  const picture = find("samples").querySelector("img");
  if (picture.src) return;
  picture.addEventListener("load", () => {
    find("samples").hidden = false;
  });
  picture.src = `${run}/training/samples.png`;
}

function problem(text) {
  find("problem").textContent = text ?? "";
  find("problem").hidden = !text;
}

function showButtons(now) {
  const isStopping = now.state === "stopping";
  const shown = [
    ["stop", now.can_stop || isStopping], ["resume", now.can_resume], ["try", now.has_model], ["mend", now.state === "failed"],
  ];
  for (const [id, can] of shown) {
    find(id).hidden = !can;
    find(id).disabled = id === "stop" && isStopping;
  }
  // Who used a button by keyboard goes on with the one in its place.
  if (used?.hidden && [used, document.body].includes(document.activeElement)) {
    document.querySelector(".buttons button:not([hidden])")?.focus();
    used = undefined;
  }
}

function show(now) {
  const isNewState = now.state !== state;
  const isNewEpoch = now.epoch !== epoch;
  const isFirst = state === undefined;
  [state, epoch] = [now.state, now.epoch];
  find("sentence").textContent = now.sentence;
  document.title = `${now.sentence} ${document.querySelector("h1").textContent}`;
  announce([now.sentence, now.result].filter(Boolean).join(" "), isNewState && !isFirst);
  find("result").textContent = now.result ?? "";
  find("result").hidden = !now.result;
  find("try").classList.toggle("main", now.state === "done");
  const left = now.seconds_left ? timeLeft(now) : "";
  find("left").textContent = now.can_resume ? find("left").dataset.resumable : left;
  find("bar").hidden = now.fraction === null;
  find("bar").value = now.fraction ?? 0;
  problem(now.reason);
  showButtons(now);
  if (isNewEpoch && !isFirst) showEpochs();
  if (isNewState) showOutput();
  if (now.epochs) showSamples();
  if (now.state === "done" && now.has_report) showReport();
}

function stopListening() {
  clearTimeout(next);
  next = undefined;
  events?.close();
  events = undefined;
}

function askLater() {
  const own = setTimeout(async () => {
    const text = await textAt(api);
    if (next !== own) return;
    if (text !== undefined) show(JSON.parse(text));
    // The state may be the same again when the page is seen: a new stream of events begins with it.
    shown = undefined;
    if (state !== "done") askLater();
  }, HIDDEN_MS);
  next = own;
}

/** Shows what comes while the page is seen: a stream holds one of the six connections that a browser has for a server. */
function listen() {
  stopListening();
  if (document.hidden) return askLater();
  const source = new EventSource(`${api}/events`);
  events = source;
  source.addEventListener("message", ({ data }) => {
    if (data !== shown) show(JSON.parse(data));
    shown = data;
    if (!["done", "stopped", "failed"].includes(state)) return;
    source.close();
    if (state !== "done") next = setTimeout(listen, PAUSE_MS);
  });
  source.addEventListener("error", () => showError(source));
}

/** Shows why there are no events: an event source has no answer of the server with its reason, as the state has. */
async function showError(source) {
  const isRefused = source.readyState === EventSource.CLOSED;
  let text = "No answer: does roentgen serve still run? A training that it stopped can be resumed.";
  try {
    const response = await fetch(api);
    if (source !== events) return;
    if (response.ok) {
      // So many pages follow trainings that this one gets no events now.
      if (isRefused) show(await response.json());
      if (isRefused && state !== "done") next = setTimeout(listen, PAUSE_MS);
      return;
    }
    source.close();
    text = response.status === 404 ? "This run is no longer there." : await response.text();
    // Such as that the server was started again, whose link the user may open on another page.
    if (response.status !== 404) next = setTimeout(listen, PAUSE_MS);
  } catch {
    // One that is not closed tries again itself.
    if (isRefused && source === events) next = setTimeout(listen, PAUSE_MS);
  }
  if (source !== events) return;
  shown = undefined;
  find("left").textContent = text;
}

async function ask(button, what) {
  used = button;
  button.disabled = true;
  try {
    const response = await fetch(`${api}/${what}`, { method: "POST" });
    if (response.ok) {
      // The state may be the same again at once: a new stream of events begins with it.
      shown = undefined;
      return what === "resume" ? listen() : undefined;
    }
    problem(await response.text());
  } catch {
    problem("no answer: does roentgen serve still run?");
  }
  button.disabled = false;
}

find("stop").addEventListener("click", (event) => {
  if (confirm("Stop this training? It can be resumed later.")) ask(event.currentTarget, "stop");
});
find("resume").addEventListener("click", (event) => ask(event.currentTarget, "resume"));
document.addEventListener("visibilitychange", () => {
  if (state !== "done") listen();
});
listen();
