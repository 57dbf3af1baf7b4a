// Sends each image that the user chooses or drops, and shows the answer in a row of the table.

import { element, post } from "./common.js";
import { chosenFiles, droppedFiles, unreadableText } from "./data_files.js";
import { correct } from "./try_correct.js";
import { keep, kept } from "./try_kept.js";
import { allowSorting, csv, makeSortable, sort } from "./try_table.js";
import { why } from "./try_why.js";

const AT_ONCE = 3;
/** Classes of an image that are shown at once. */
const MOST_BARS = 5;
/** What browsers show themselves. */
const SHOWN = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"];
const [input, drop] = [document.querySelector("#files"), document.querySelector(".drop")];
const [table, save, clear] = ["#results", "#save", "#clear"].map((name) => document.querySelector(name));
const api = document.querySelector("#trial").dataset.api;
const [status, together] = [document.querySelector("#status"), document.querySelector("#together")];
const [meaning, unread] = [document.querySelector("#meaning"), document.querySelector("#unread")];
/** Each image: its name with its folders, its row, its file (not of those from before the page was loaded again), its answer. */
const entries = [];
/** Where so many answers were kept that the browser did not take what a comparison needs of them. */
const NOT_COMPARED = "The images that were added later are not in this comparison. To compare them all, clear the list and drop them all again.";
const tasks = [];
let nDone = 0, nInWork = 0;

/** As the commands write a probability: a number is never nearer to certainty than it can be known. */
const percent = (value) => (value < 0.01 ? "< 1 %" : value > 0.99 ? "> 99 %" : `${(100 * value).toFixed(1)} %`);

/** The answer of the server, or an object with the error. */
async function predict({ file, name }) {
  try {
    return await (await post(`${api}/predict?summary=true&name=${encodeURIComponent(name)}`, file)).json();
  } catch (error) {
    return { path: name, error: error.message };
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
      setPicture(picture, await (await post(`${api}/picture?side=160`, file)).blob());
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

function show(entry) {
  const { file, name, row, answer } = entry;
  const [image, label, probability, remark] = [0, 1, 2, 3].map(() => element("td"));
  if (!answer.error && file) image.append(thumbnail(file));
  image.append(name);
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
  row.replaceChildren(image, label, probability, remark);
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
  remark.append(text);
}

async function answer(entry) {
  entry.answer = await predict(entry);
  show(entry);
  nDone += 1;
  const images = entries.length === 1 ? "image" : "images";
  status.textContent = nDone < entries.length ? `${nDone} of ${entries.length} ${images}` : `${nDone} ${images} done`;
  save.hidden = clear.hidden = false;
  if (nDone === entries.length) {
    sort(table, entries);
    await compare();
  }
}

/** Shows whether all images, taken together, differ from those of the training. */
async function compare() {
  const answers = entries.map(({ answer }) => answer).filter(({ error }) => !error);
  if (answers.length === 0) return;
  const summaries = answers.flatMap(({ summary }) => summary ?? []);
  if (summaries.length < answers.length) {
    if (!together.textContent.endsWith(NOT_COMPARED)) together.append(" ", NOT_COMPARED);
    return;
  }
  const body = new Blob([JSON.stringify(summaries)], { type: "application/json" });
  let answer;
  try {
    answer = await (await post(`${api}/shift`, body)).json();
  } catch (error) {
    answer = { text: `The images could not be compared: ${error.message}` };
  }
  if (nDone < entries.length) return;
  together.hidden = entries.length < 2;
  together.className = answer.shift ? `remark ${answer.shift.detected ? "bad" : "good"}` : "soft";
  together.textContent = answer.text;
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
function newEntry(name, file) {
  const entry = { name, file, row: element("tr") };
  table.tBodies[0].append(entry.row);
  entries.push(entry);
  return entry;
}

function add(files) {
  for (const { file, folders } of files) {
    // Folders of patients have files of the same names.
    const entry = newEntry([...folders, file.name].join("/"), file);
    const cell = element("td", `${entry.name} …`);
    cell.colSpan = 4;
    entry.row.append(cell);
    later(() => answer(entry));
  }
  showTable();
}

function showTable() {
  table.hidden = meaning.hidden = entries.length === 0;
  allowSorting(table, entries.length > 1);
}

/** Shows the answers from before the page was loaded again. */
function showKept() {
  const { answers, together: line } = kept();
  for (const { answer, correction } of answers) {
    show(Object.assign(newEntry(answer.path), { answer, correction }));
  }
  nDone = entries.length;
  if (line) [together.className, together.textContent, together.hidden] = [...line, false];
  document.querySelector("#kept").hidden = save.hidden = clear.hidden = nDone === 0;
  showTable();
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
save.addEventListener("click", () => {
  const answers = entries.flatMap((entry) => entry.answer ?? []);
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv(answers)], { type: "text/csv" }));
  link.download = "predictions.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});
clear.addEventListener("click", () => {
  entries.length = 0;
  together.hidden = true;
  location.reload();
});
addEventListener("pagehide", () => keep(entries, together.hidden ? null : [together.className, together.textContent]));
makeSortable(table, entries);
showKept();
