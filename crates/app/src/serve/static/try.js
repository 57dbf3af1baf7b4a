// Sends each image that the user chooses or drops, and shows the answer in a row of the table.

import { element, post } from "./common.js";
import { chosenFiles, droppedFiles, isSingleFolder, unreadableText } from "./data_files.js";
import { correct } from "./try_correct.js";
import { earlier, forgetEarlier, keep, kept } from "./try_kept.js";
import { allowSorting, csv, makeSortable, sort } from "./try_table.js";
import { why } from "./try_why.js";

const AT_ONCE = 3;
/** Classes of an image that are shown at once. */
const MOST_BARS = 5;
/** What browsers show themselves. */
const SHOWN = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"];
const [input, drop] = [document.querySelector("#files"), document.querySelector(".drop")];
const [table, save, clear] = ["#results", "#save", "#clear"].map((name) => document.querySelector(name));
const [again, leave] = ["#again", "#leave"].map((name) => document.querySelector(name));
const { api, written } = document.querySelector("#trial").dataset;
const [status, together] = [document.querySelector("#status"), document.querySelector("#together")];
const [meaning, unread] = [document.querySelector("#meaning"), document.querySelector("#unread")];
const ofEarlier = document.querySelector("#earlier");
/**
 * Each image: its name with its folders, its row, its file with these folders (not of those from before the page was loaded
 * again), and its answer, or the problem for which it has none.
 */
const entries = [];
const tasks = [];
let nInWork = 0;
/** Whether the model has changed, so that this page gets no more answers. */
let isOutdated = false;
/** The comparison of the images with those of the training: its text, its result, and whether all images are in it. */
let comparison = null;
const LATER = "The images that were added later are not in this comparison.";
/** Where so many answers were kept that the browser did not take what a comparison needs of them. */
const TO_COMPARE = "To compare them all, clear the list and drop them all again.";

/** As the commands write a probability: a number is never nearer to certainty than it can be known. */
const percent = (value) => (value < 0.01 ? "< 1 %" : value > 0.99 ? "> 99 %" : `${(100 * value).toFixed(1)} %`);

/** The answer of the server, which has the error of a file that it cannot read, or the problem for which there is no answer. */
async function predict({ file, name }) {
  try {
    const response = await post(`${api}/predict?summary=true&written=${written}&name=${encodeURIComponent(name)}`, file);
    return { answer: await response.json() };
  } catch (error) {
    // A file that is too large has no other answer later.
    if (error.status === 413) return { answer: { path: name, error: error.message } };
    if (error.status === 409) isOutdated = true;
    return { problem: error.message };
  }
}

function bars(probabilities) {
  const grid = element("div", undefined, "bars");
  for (const [name, value] of probabilities) {
    const meter = element("meter");
    meter.value = value;
    meter.setAttribute("aria-label", name);
    grid.append(element("span", name), meter, element("span", percent(value)));
  }
  return grid;
}

/** A bar for each class, the most probable first; of many classes only these, until more are asked for. */
function allBars(probabilities) {
  const sorted = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  const nFirst = sorted.length > MOST_BARS + 1 ? MOST_BARS : sorted.length;
  const shown = [bars(sorted.slice(0, nFirst))];
  if (nFirst < sorted.length) {
    const more = element("details");
    more.append(element("summary", `${sorted.length - nFirst} more`));
    more.addEventListener("toggle", () => more.append(bars(sorted.slice(nFirst))), { once: true });
    shown.push(more);
  }
  return shown;
}

function setPicture(picture, blob) {
  const address = URL.createObjectURL(blob);
  picture.onload = picture.onerror = () => URL.revokeObjectURL(address);
  picture.src = address;
}

/** A small picture; from the server where the browser cannot show the file. */
function thumbnail(file) {
  const picture = element("img");
  picture.alt = "";
  const fromServer = async () => {
    try {
      setPicture(picture, await (await post(`${api}/picture?side=160&written=${written}`, file)).blob());
    } catch {
      picture.remove();
    }
  };
  if (SHOWN.includes(file.type)) {
    setPicture(picture, file);
    picture.addEventListener("error", () => later(fromServer), { once: true });
  } else {
    later(fromServer);
  }
  return picture;
}

function button(text, name, action) {
  const made = element("button", text);
  made.type = "button";
  made.setAttribute("aria-label", name);
  made.addEventListener("click", action);
  return made;
}

/** What can be asked of an answer while its image is here. */
function questions(entry) {
  const { name, answer } = entry;
  const ask = `Why is ${name} ${answer.rejected ? "rejected" : answer.class}?`;
  return [
    button("Why?", ask, () => why(entry)),
    button("Wrong? Correct it", `Wrong? Correct it for ${name}`, () => correct(entry, () => mark(entry))),
  ];
}

/** Shows the answer of an image, or why it has none. */
function show(entry) {
  const { file, name, row, answer, problem } = entry;
  const [image, label, probability, remark] = [0, 1, 2, 3].map(() => element("td"));
  image.append(name);
  row.replaceChildren(image, label, probability, remark);
  if (!answer) {
    [label.textContent, remark.textContent] = [file ? "not sent" : "not answered", problem];
    return;
  }
  if (!answer.error && file) image.prepend(thumbnail(file));
  if (answer.error) {
    label.textContent = "not read";
    remark.textContent = answer.error;
  } else {
    label.append(element("strong", answer.rejected ? "rejected" : answer.class));
    if (answer.rejected) remark.textContent = answer.reason;
    else probability.append(...allBars(answer.probabilities));
    if (file) label.append(...questions(entry));
  }
  for (const note of answer.notes ?? []) remark.append(element("div", note, "soft"));
  if (entry.correction) mark(entry);
}

/** Shows the class that the user has given. */
function mark({ row, correction }) {
  const remark = row.cells[3];
  remark.querySelector(".correction")?.remove();
  const text = element("div", undefined, "correction");
  const link = element("a", "the data for the next training");
  link.href = `/data?data=${encodeURIComponent(`set:${correction.set}`)}`;
  text.append("right: ", element("strong", correction.name), ", in ", link);
  if (correction.others?.length > 0) text.append(`, which have it as ${correction.others.join(", ")}, too`);
  remark.append(text);
}

async function answer(entry) {
  Object.assign(entry, await predict(entry));
  show(entry);
  await finish();
}

/** Once all images have answers, shows what is known of them together. */
async function finish() {
  showProgress();
  if (entries.some(({ answer }) => !answer)) return;
  sort(table, entries);
  await compare();
}

/** Shows how many images have answers, and what can be done with them, or with those that have none. */
function showProgress() {
  const n = entries.length;
  const nDone = entries.filter(({ answer }) => answer).length;
  const unanswered = entries.filter(({ problem }) => problem);
  const isOver = nDone + unanswered.length === n;
  const images = n === 1 ? "image" : "images";
  const done = nDone < n ? `${nDone} of ${n} ${images}${isOver ? " answered" : ""}` : `${nDone} ${images} done`;
  status.textContent = n === 0 ? "" : done;
  clear.hidden = n === 0 && ofEarlier.childElementCount === 0;
  // A table of a part of the images would be taken for that of all.
  save.hidden = n === 0 || nDone < n;
  again.hidden = isOutdated || !isOver || !unanswered.some(({ file }) => file);
  leave.hidden = !isOver || unanswered.length === 0;
}

/** Compares all images, taken together, with those of the training, and shows the result. */
async function compare() {
  const n = entries.length;
  const answers = entries.map(({ answer }) => answer).filter(({ error }) => !error);
  if (answers.length === 0) return;
  const summaries = answers.flatMap(({ summary }) => summary ?? []);
  let found = { ...comparison, isComplete: false };
  if (summaries.length === answers.length) {
    const body = new Blob([JSON.stringify(summaries)], { type: "application/json" });
    try {
      found = { ...(await (await post(`${api}/shift?written=${written}`, body)).json()), isComplete: true };
    } catch (error) {
      found = { text: `The images could not be compared: ${error.message}`, isComplete: true };
    }
  }
  // Others may have been added in the meantime.
  if (entries.length !== n || entries.some(({ answer }) => !answer)) return;
  comparison = found;
  showComparison();
}

function showComparison() {
  const { text, shift, isComplete } = comparison;
  together.hidden = entries.length < 2;
  together.className = shift ? `remark ${shift.detected ? "bad" : "good"}` : "soft";
  together.textContent = isComplete ? text : [text && `${text} ${LATER}`, TO_COMPARE].filter(Boolean).join(" ");
}

async function work() {
  nInWork += 1;
  while (tasks.length > 0) await tasks.shift()();
  nInWork -= 1;
}

/** Does a task when those before it are done; a few at the same time. */
function later(task) {
  tasks.push(task);
  if (nInWork < AT_ONCE) work();
}

/** A new entry, with an empty row. */
function newEntry(name) {
  const entry = { name, row: element("tr") };
  table.tBodies[0].append(entry.row);
  entries.push(entry);
  return entry;
}

function add(files) {
  const missed = entries.filter(({ file, problem }) => problem && !file);
  const isSingle = isSingleFolder(files);
  for (const { file, folders } of files) {
    // Folders of patients have files of the same names.
    const name = [...folders, file.name].join("/");
    const known = missed.find((entry) => entry.name === name && entry.problem);
    send(Object.assign(known ?? newEntry(name), { file, folders, isSingle }));
  }
  if (files.length > 0) {
    together.hidden = true;
    if (comparison) comparison.isComplete = false;
  }
  showTable();
  showProgress();
}

/** Has the image of an entry answered. */
function send(entry) {
  entry.problem = undefined;
  const cell = element("td", `${entry.name} …`);
  cell.colSpan = 4;
  entry.row.replaceChildren(cell);
  later(() => answer(entry));
}

function showTable() {
  table.hidden = meaning.hidden = entries.length === 0;
  allowSorting(table, entries.length > 1);
}

/** Shows the images from before the page was loaded again, with their answers. */
function showKept() {
  const before = kept();
  for (const { name, answer, correction } of before.entries) {
    show(Object.assign(newEntry(name), { answer, correction, problem: answer ? undefined : "add it again" }));
  }
  comparison = before.comparison;
  if (comparison && entries.every(({ answer }) => answer)) showComparison();
  document.querySelector("#kept").hidden = entries.length === 0;
  showTable();
  showProgress();
}

/** Saves entries with their answers as a table. */
function download(answered) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv(answered)], { type: "text/csv" }));
  link.download = "predictions.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Offers to save the answers of earlier files of the model, which are in no table with those of the present one. */
function showEarlier() {
  for (const answered of earlier()) {
    const images = `${answered.length} ${answered.length === 1 ? "image" : "images"}`;
    const line = element("p", `The model has changed since it answered ${images}. Those answers are kept: `, "soft");
    line.append(button("Save them as CSV", "Save them as CSV", () => download(answered)));
    ofEarlier.append(line);
  }
}

input.addEventListener("change", () => {
  add(chosenFiles(input));
  input.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, async (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name !== "drop") return;
    const { found, unreadable } = await droppedFiles(event.dataTransfer);
    unread.hidden = unreadable.length === 0;
    unread.textContent = unread.hidden ? "" : unreadableText(unreadable);
    add(found);
  });
}
save.addEventListener("click", () => download(entries));
clear.addEventListener("click", () => {
  entries.length = 0;
  comparison = null;
  forgetEarlier();
  location.reload();
});
again.addEventListener("click", () => {
  for (const entry of entries.filter(({ file, problem }) => file && problem)) send(entry);
  showProgress();
  input.focus();
});
leave.addEventListener("click", () => {
  for (const { row } of entries.filter(({ problem }) => problem)) row.remove();
  entries.splice(0, entries.length, ...entries.filter(({ problem }) => !problem));
  showTable();
  finish();
  input.focus();
});
// The page keeps no files: images that are not answered yet would have to be added again.
addEventListener("beforeunload", (event) => {
  if (entries.some(({ file, answer }) => file && !answer)) event.preventDefault();
});
addEventListener("pagehide", () => keep(entries, comparison));
makeSortable(table, entries);
showEarlier();
showKept();
