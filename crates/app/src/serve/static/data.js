// The data page: images are chosen or put together, and what is found in them is shown.

import { ask, button, counted, element } from "/static/data_common.js";
import * as findings from "/static/data_findings.js";
import * as editor from "/static/data_editor.js";
import { chosenFiles, droppedFiles, isAccepted, listed, newNames, placed, unreadableText } from "/static/data_files.js";
import { Uploads } from "/static/data_upload.js";

/** A check begins when no image has come for so long. */
const QUIET_MS = 1200;
/** What the images are called that the program draws. */
const EXAMPLES = "Drawn example films (phantom films)";
const at = (name) => document.querySelector(name);
const [status, sending, refused, browser] = [at("#status"), at("#sending"), at("#refused"), at("#browser")];
let chosen = null;
let quiet = null;
/** Of the set that is chosen, the classes, with those to which images are sent. */
let classes = [];
/** Sentences on what was left out of the images that were added last. */
let leftOut = [];
/** Whether a complaint is shown, about what was done last. */
let hasComplaint = false;
/** The page before anything is chosen. */
const dropText = at("#drop-text").textContent;

const uploads = new Uploads(
  () => {
    const { nDone, nSent, nTaken } = uploads;
    status.textContent = nDone < nSent ? `${nDone} of ${counted(nSent, "image")} sent` : `${counted(nTaken, "image")} sent`;
    [sending.max, sending.value, sending.hidden] = [Math.max(nSent, 1), nDone, nDone >= nSent];
    if (uploads.refused.length > 0) showRefused();
  },
  async () => {
    const data = chosen;
    if (data?.startsWith("set:")) {
      const info = await ask("GET", `sets/${encodeURIComponent(data.slice(4))}`);
      if (info.ok) update(info.body);
      else if (info.status === 404 && chosen === data) leave(info);
    }
    await showSets();
    checkSoon();
  },
);

const hooks = {
  add: (images, left = []) => {
    clearTimeout(quiet);
    hideComplaint();
    if (!uploads.isBusy) leftOut = [];
    leftOut.push(...left);
    uploads.add(images);
    if (left.length > 0) showRefused();
  },
  changed: (info) => {
    update(info);
    showSets();
    checkSoon();
  },
  complain,
};

function complain(text) {
  refused.replaceChildren(element("p", text));
  refused.hidden = false;
  hasComplaint = true;
}

/** Hides a complaint, but no list of images that were not taken. */
function hideComplaint() {
  if (hasComplaint) refused.hidden = true;
}

/** Shows what was left out, and what the server did not take. */
function showRefused() {
  refused.replaceChildren(...leftOut.map((text) => element("p", text)));
  refused.hidden = hasComplaint = false;
  if (uploads.refused.length === 0) return;
  const list = element("ul");
  const some = uploads.refused.slice(0, 50);
  list.append(...some.map(({ name, reason }) => element("li", `${name}: ${reason}`)));
  const unsent = uploads.nUnsent > 0 ? `, and ${counted(uploads.nUnsent, "more image")} not sent` : "";
  refused.append(element("p", `${counted(uploads.refused.length, "file")} not taken${unsent}:`), list);
}

function checkSoon() {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    if (chosen && !uploads.isBusy) examine();
  }, QUIET_MS);
}

function update(info) {
  if (info.data !== chosen) return;
  classes = info.classes;
  editor.update(info);
}

function examine() {
  const nWithImages = classes.filter(({ train, val, test }) => train + val + test > 0).length;
  if (chosen.startsWith("set:") && nWithImages < 2) return findings.note("A model needs images of two classes at least.");
  findings.examine(chosen, chosen.startsWith("set:") ? editor.remove : undefined);
}

/** Shows images, with what is found in them; above the classes, unless these are made by hand and must not move. */
async function choose(data, title, isByHand = false) {
  clearTimeout(quiet);
  chosen = data;
  classes = [];
  history.replaceState(null, "", `/data?data=${encodeURIComponent(data)}`);
  findings.clear();
  editor.hide();
  browser.hidden = true;
  let isEmpty = false;
  at("#browse").setAttribute("aria-expanded", "false");
  if (data.startsWith("set:")) {
    const answer = await ask("GET", `sets/${encodeURIComponent(data.slice(4))}`);
    if (chosen !== data) return;
    if (!answer.ok) return leave(answer);
    title = answer.body.title;
    isEmpty = answer.body.n_images === 0;
    classes = answer.body.classes;
    editor.show(answer.body, hooks);
  }
  at("#title").textContent = title;
  at("#editor")[isByHand ? "after" : "before"](at("#findings"));
  at("#drop-text").textContent = data.startsWith("set:") ? "Drop a folder here to add its images to this set" : dropText;
  at("#chosen").hidden = false;
  at("nav [href^='/train']").href = `/train?data=${encodeURIComponent(data)}`;
  if (!uploads.isBusy && !isEmpty) examine();
}

function unchoose() {
  chosen = null;
  findings.clear();
  editor.hide();
  at("#chosen").hidden = true;
  at("#drop-text").textContent = dropText;
  at("nav [href^='/train']").href = "/train";
  history.replaceState(null, "", "/data");
}

/** Leaves a set that cannot be shown, so that no image is sent to it, and shows why. */
function leave({ status, body }) {
  const name = chosen.slice(4);
  unchoose();
  complain(status === 404 ? `The set ${name} is no longer there. Choose other images.` : body);
}

async function showSets() {
  const answer = await ask("GET", "sets");
  if (!answer.ok) return;
  at("#sets-section").hidden = answer.body.length === 0;
  const line = ({ name, title, data, n_images, classes }) => {
    const item = element("li");
    const nClasses = classes.filter(({ train, val, test }) => train + val + test > 0).length;
    const about = `${counted(n_images, "image")} in ${counted(nClasses, "class")}`;
    const open = button(title, () => choose(data).then(() => at("#title").focus()), "name");
    const remove = button("Remove", async () => {
      if (!confirm(`Remove the set ${title} with ${counted(n_images, "image")} from this machine?`)) return;
      const removed = await ask("DELETE", `sets/${encodeURIComponent(name)}`);
      if (!removed.ok) return complain(removed.body);
      if (chosen === data) unchoose();
      showSets();
    }, "small");
    remove.setAttribute("aria-label", `Remove the set ${title}`);
    item.append(open, " ", element("span", about, "soft"), " ", remove);
    return item;
  };
  at("#sets").replaceChildren(...answer.body.map(line));
}

/** A new set, chosen. */
async function newSet(title, isByHand = false) {
  const answer = await ask("POST", `sets?title=${encodeURIComponent(title)}`);
  if (!answer.ok) {
    complain(answer.body);
    return null;
  }
  await choose(answer.body.data, title, isByHand);
  return answer.body.name;
}

/** Whether to make new classes in the open set: if it has others, the user is asked, as the folders may be those in a class. */
function areWanted(names) {
  if (names.length === 0 || classes.length === 0) return true;
  const [kind, these] = names.length === 1 ? ["class", "this class"] : ["classes", `these ${names.length} classes`];
  return confirm(`The set ${at("#title").textContent} has no ${kind} ${listed(names)}. Make ${these}?`);
}

/** Sends what was dropped or chosen: to the set that is open, or to a new one; if something is unreadable, once the user agrees. */
async function take(files, unreadable = []) {
  refused.hidden = true;
  const open = chosen?.startsWith("set:") ? chosen.slice(4) : null;
  const known = open ? classes.map(({ name }) => name) : [];
  let images, left;
  try {
    ({ images, left } = placed(files, known));
  } catch (error) {
    return complain(error.message);
  }
  const unread = unreadable.length > 0 ? [unreadableText(unreadable)] : [];
  if (images.length === 0) {
    return complain([...unread, "There are no images in folders here. Drop a folder that has one sub-folder of images for each class."].join(" "));
  }
  if (!isAccepted(unreadable)) return complain(`${unread} Nothing of it was sent.`);
  const newClasses = newNames([...new Set(images.map((image) => image.class))], known);
  if (open && !areWanted(newClasses)) {
    const others = "Images of one class can be dropped on it, or be in a folder with its name; if it is new, add it first.";
    return complain(`Nothing was sent. ${others}`);
  }
  const title = (files[0].folders[0] ?? "").slice(0, 80);
  const set = open ?? await newSet(title);
  if (!set) return;
  classes = [...classes, ...newClasses.map((name) => ({ name, train: 0, val: 0, test: 0 }))];
  const more = [
    [left.other, "that is no image"], [left.loose, "beside the class folders"], [left.masks, "in a folder of masks"],
  ].filter(([n]) => n > 0).map(([n, what]) => `${counted(n, "file")} ${what}`);
  const sentences = more.length > 0 ? [...unread, `Left out: ${more.join(", ")}.`] : unread;
  hooks.add(images.map((image) => ({ ...image, set, added: (answer) => editor.added(set, image.file, answer) })), sentences);
}

async function browse(path) {
  const answer = await ask("GET", `folders?path=${encodeURIComponent(path)}`);
  if (!answer.ok) return complain(answer.body);
  const { above, n_images, folders, files, has_more } = answer.body;
  const heading = element("h2", answer.body.path === "" ? "Folders of this machine" : answer.body.path);
  heading.tabIndex = -1;
  const list = element("ul", undefined, "folders");
  const item = (name, about, act, className) => {
    const line = element("li");
    line.append(button(name, act, className), " ", element("span", about, "soft"));
    list.append(line);
  };
  if (above !== null) item("↑ the folder above", "", () => browse(above), "name");
  for (const folder of folders) {
    const n = `${folder.n_images}${folder.has_more ? " or more" : ""}`;
    const inner = folder.n_folders > 0 ? `, ${counted(folder.n_folders, "folder")}` : "";
    item(`${folder.name}/`, `${n} ${folder.n_images === 1 ? "image" : "images"}${inner}`, () => browse(folder.path), "name");
  }
  for (const file of files) item(file.name, "data in one file", () => choose(`folder:${file.path}`, file.path), "name");
  if (has_more) list.append(element("li", "There are more that are not listed.", "soft"));
  const here = button("Choose this folder", () => choose(`folder:${answer.body.path}`, answer.body.path || "The root folder"), "main");
  const classes = folders.filter((folder) => folder.n_images > 0).map((folder) => folder.name);
  const shown = classes.slice(0, 8).join(", ") + (classes.length > 8 ? ", …" : "");
  let hint = "The folder to choose is that with one sub-folder for each class.";
  if (classes.length > 1) hint = `Its folders would be the classes: ${shown}.`;
  else if (n_images > 0) hint = `There are ${counted(n_images, "image")} here; the folder to choose is the one above, with a sub-folder for each class.`;
  browser.replaceChildren(heading, element("p", hint, "soft"), list, here);
  browser.hidden = false;
  at("#browse").setAttribute("aria-expanded", "true");
  heading.focus();
}

at("#folder").addEventListener("change", (event) => {
  take(chosenFiles(event.target));
  event.target.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, async (event) => {
    event.preventDefault();
    at("#drop").classList.toggle("over", name === "dragover");
    if (name !== "drop") return;
    const { found, unreadable } = await droppedFiles(event.dataTransfer);
    take(found, unreadable);
  });
}
at("#browse").addEventListener("click", () => {
  if (browser.hidden) return browse("");
  browser.hidden = true;
  at("#browse").setAttribute("aria-expanded", "false");
});
at("#phantoms").addEventListener("click", () => choose("phantoms", EXAMPLES));
at("#other").addEventListener("click", () => {
  unchoose();
  at("#folder").focus();
});
at("#by-hand").addEventListener("click", async () => {
  if (await newSet("", true)) at("#editor input").focus();
});
// Before what is done now, which may fail, too.
document.addEventListener("click", ({ target }) => target.closest("button, input, label") && hideComplaint(), true);
addEventListener("beforeunload", (event) => {
  if (uploads.isBusy) event.preventDefault();
});

showSets();
const given = new URLSearchParams(location.search).get("data");
if (given) choose(given, given === "phantoms" ? EXAMPLES : given.slice(given.indexOf(":") + 1) || "The root folder");
