// The dialog in which the user names the right class of an image, which goes to a set of images for the next training.

import { get, post } from "./common.js";
import { className, patientFolder } from "./data_files.js";

const SETS = "/api/v1/data/sets";
const dialog = document.querySelector("#correct");
const form = dialog.querySelector("form");
const [right, other] = [dialog.querySelector("#right"), dialog.querySelector("#other")];
const problem = dialog.querySelector("#problem");
let entry, whenSaved;

const isOther = () => right.selectedOptions[0] === right.options[right.options.length - 1];
/** The classes of the model. */
const classes = () => [...right.options].slice(0, -1);

/** The name that a class of the model has in a set, as on the page Data; an error if it has none of its own. */
function nameInSet(name) {
  const inSet = className(name);
  if (!inSet) throw new Error(`${name} has no letter or digit, which a class of a set needs. Choose another class, and give it a name.`);
  const same = classes().find(({ value }) => value !== name && className(value) === inSet);
  if (!same) return inSet;
  throw new Error(`${name} and ${same.value} would both be ${inSet} in a set, as other signs are left out. Choose another class, and give it a name.`);
}

/** The name in a set for the folder of an image's patient, or an empty text; a single dropped folder only if no folder in it is one. */
function patient({ folders, isSingle }) {
  const known = classes().map(({ value }) => className(value));
  const inner = isSingle ? folders.slice(1) : folders;
  return className(patientFolder([...inner, ...folders], known) ?? "");
}

/** The name of the set of this run's images, or of its corrections, which is made with the first. */
async function set() {
  const { title } = dialog.dataset;
  if (dialog.dataset.set) return dialog.dataset.set;
  const sets = await (await get(SETS)).json();
  const found = sets.find((known) => known.title === title)
    ?? await (await post(`${SETS}?title=${encodeURIComponent(title)}`)).json();
  return found.name;
}

/** Removes an image from a set; whether it is gone, as also where somebody has removed it already. */
async function remove(address, path) {
  // The question about trainings on the set was answered when the image was added.
  const query = new URLSearchParams({ path, anyway: "true" });
  const answer = await fetch(`${address}?${query}`, { method: "DELETE" }).catch(() => undefined);
  return answer?.ok || answer?.status === 404;
}

/** Removes the file of an image from other classes, if the user agrees; the classes in which it stays. */
async function removeEqual(address, of, equal) {
  const classesOf = (paths) => [...new Set(paths.map((path) => path.split("/")[1]))];
  const there = `The set has ${of.name} as ${classesOf(equal).join(", ")}, too.`;
  const question = `${there} Remove it there, so that it is ${of.correction.name} alone?`;
  if (equal.length === 0 || !confirm(question)) return classesOf(equal);
  const left = [];
  for (const path of equal) if (!(await remove(address, path))) left.push(path);
  return classesOf(left);
}

/** Adds the image to its class, and removes it from the one that was given before, unless it was there before that. */
async function save(of, name) {
  const { file, correction } = of;
  const inSet = await set();
  const address = `${SETS}/${encodeURIComponent(inSet)}/images`;
  const query = new URLSearchParams({ class: name, name: file.name, find_equal: "true" });
  const folder = patient(of);
  if (folder) query.set("folder", folder);
  const added = await (await post(`${address}?${query}`, file).catch((error) => {
    // The name of the set is in this page.
    throw error.status === 404 ? new Error(`The set ${inSet} was removed. Load this page again, and add the image again.`) : error;
  })).json();
  const isSame = correction?.path === added.path;
  const wasThere = isSame ? correction.wasThere : added.was_there;
  of.correction = { name: added.class, path: added.path, set: inSet, wasThere };
  const isOwn = correction && !isSame && !correction.wasThere;
  if (isOwn && !(await remove(address, correction.path))) {
    throw new Error(`The image is in ${added.class} now, but could not be removed from ${correction.name}: remove it there.`);
  }
  const equal = added.equal.filter((path) => !isOwn || path !== correction.path);
  of.correction.others = await removeEqual(address, of, equal);
}

/** Opens the dialog for an entry with its file and its answer; `saved` is called when its `correction` is in the set. */
export function correct(of, saved) {
  [entry, whenSaved] = [of, saved];
  dialog.querySelector("h2").textContent = `Which class is ${entry.name}?`;
  // The answer is wrong: the next class after it.
  const others = Object.entries(entry.answer.probabilities ?? {}).filter(([known]) => known !== entry.answer.class);
  const next = others.sort((a, b) => b[1] - a[1])[0]?.[0];
  const name = entry.correction?.name ?? next ?? entry.answer.class;
  const known = classes().find(({ value }) => value === name || className(value) === name);
  if (known) known.selected = true;
  else right.selectedIndex = entry.correction ? right.options.length - 1 : 0;
  other.value = isOther() ? name : "";
  other.parentElement.hidden = !isOther();
  problem.textContent = "";
  dialog.showModal();
  right.focus();
}

right.addEventListener("change", () => {
  other.parentElement.hidden = !isOther();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = isOther() ? other.value.trim() : right.value;
  if (given === "") {
    problem.textContent = "Give the name of the class.";
    other.focus();
    return;
  }
  // The dialog may be open for another image when this one is saved.
  const [of, saved] = [entry, whenSaved];
  if (of.isSaving) return;
  of.isSaving = true;
  try {
    await save(of, isOther() ? given : nameInSet(given));
    saved();
    if (entry === of) dialog.close();
  } catch (error) {
    if (entry === of) problem.textContent = error.message;
  }
  of.isSaving = false;
});
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
