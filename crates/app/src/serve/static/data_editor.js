// A set that is put together here: its classes, with images that are dropped, chosen, or taken by the camera.

import * as camera from "/static/data_camera.js";
import { ask, button, counted, element } from "/static/data_common.js";
import { chosenFiles, droppedFiles, isAccepted, placedIn, unreadableText } from "/static/data_files.js";
import { gallery } from "/static/data_gallery.js";

const MAX_SHOWN = 12;
const box = document.querySelector("#editor");
const cards = new Map();
let set = null;
let hooks = null;

/** Shows a set; `hooks` has `add(images, left)`, `changed(set)` after removals, and `complain(text)`. */
export function show(info, given) {
  hooks = given;
  const isOther = set?.name !== info.name;
  set = info;
  if (isOther) {
    cards.clear();
    box.replaceChildren(...frame());
  }
  update(info);
  box.hidden = false;
}

export function hide() {
  set = null;
  box.hidden = true;
  const video = box.querySelector("video");
  if (video) camera.stop(video);
  box.classList.remove("with-camera");
  box.replaceChildren();
}

/** Shows the numbers of images. */
export function update(info) {
  set = info;
  const grid = box.querySelector(".cards");
  for (const found of info.classes) {
    let card = cards.get(found.name);
    if (!card) {
      card = newCard(found.name);
      cards.set(found.name, card);
      grid.append(card);
    }
    const nImages = found.train + found.val + found.test;
    card.querySelector(".n").textContent = counted(nImages, "image");
    card.querySelector(".gallery").hidden = nImages === 0;
  }
  for (const [name, card] of cards) {
    if (info.classes.some((found) => found.name === name)) continue;
    card.remove();
    cards.delete(name);
  }
}

/** Shows an image that was added to a class of the set `name`, if this set is open. */
export function added(name, file, answer) {
  if (set?.name !== name) return;
  const thumbs = cards.get(answer.class)?.querySelector(".thumbs");
  if (!thumbs || answer.was_there || !file.type.startsWith("image/")) return;
  const image = element("img");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
  const made = button(undefined, () => remove(answer.path), "thumb");
  made.dataset.path = answer.path;
  made.setAttribute("aria-label", `Remove ${answer.path.split("/").pop()}`);
  made.title = "Remove";
  made.append(image);
  thumbs.prepend(made);
  while (thumbs.children.length > MAX_SHOWN) thumbs.lastChild.remove();
}

/** Removes an image from the set, and wherever it is shown. */
export async function remove(path) {
  const answer = await ask("DELETE", `sets/${encodeURIComponent(set.name)}/images?path=${encodeURIComponent(path)}`);
  if (!answer.ok) return hooks.complain(answer.body);
  box.querySelectorAll(`[data-path="${CSS.escape(path)}"]`).forEach((shown) => shown.remove());
  hooks.changed(answer.body);
}

function frame() {
  const form = element("form", undefined, "new-class");
  const label = element("label", "New class ");
  const input = element("input");
  input.maxLength = 60;
  input.required = true;
  input.placeholder = cards.size === 0 ? "such as normal" : "";
  label.append(input);
  const submit = element("button", "Add the class");
  form.append(label, submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await ask("POST", `sets/${encodeURIComponent(set.name)}/classes?class=${encodeURIComponent(input.value)}`);
    if (!answer.ok) return hooks.complain(answer.body);
    if (answer.body.classes.length === cards.size) return hooks.complain(`There is a class ${input.value.trim()} already.`);
    input.value = "";
    hooks.changed(answer.body);
    input.focus();
  });
  const video = element("video");
  video.muted = video.playsInline = true;
  video.hidden = true;
  const toggle = button("Use the camera", async () => {
    if (camera.isOn()) camera.stop(video);
    else {
      const problem = await camera.start(video);
      if (problem) return hooks.complain(problem);
    }
    video.hidden = !camera.isOn();
    box.classList.toggle("with-camera", camera.isOn());
    toggle.textContent = camera.isOn() ? "Switch the camera off" : "Use the camera";
  }, "camera");
  return [form, toggle, video, element("div", undefined, "cards")];
}

function newCard(name) {
  const card = element("section", undefined, "card");
  const heading = element("h3", name);
  const label = element("label", undefined, "drop small");
  const input = element("input");
  input.type = "file";
  input.multiple = true;
  input.setAttribute("aria-label", `Images of ${name}`);
  label.append(element("span", "Drop images here"), element("span", "Choose images", "choose"), input);
  input.addEventListener("change", () => {
    addFiles(name, chosenFiles(input));
    input.value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    card.addEventListener(kind, async (event) => {
      event.preventDefault();
      event.stopPropagation();
      label.classList.toggle("over", kind === "dragover");
      if (kind !== "drop") return;
      const { found, unreadable } = await droppedFiles(event.dataTransfer);
      if (found.length === 0 && unreadable.length > 0) return hooks.complain(unreadableText(unreadable));
      if (isAccepted(unreadable)) addFiles(name, found, unreadable);
    });
  }
  const shutter = button("Hold to take pictures", () => {}, "shutter");
  shutter.setAttribute("aria-label", `Hold to take pictures of ${name}`);
  camera.onHold(shutter, box.querySelector("video"), (file) => {
    const inSet = set.name;
    hooks.add([{ set: inSet, class: name, file, name: "camera.png", added: (answer) => added(inSet, file, answer) }]);
  });
  const gone = button("Remove the class", async () => {
    if (!confirm(`Remove the class ${name} with all its images?`)) return;
    const answer = await ask("DELETE", `sets/${encodeURIComponent(set.name)}/classes/${encodeURIComponent(name)}`);
    if (!answer.ok) return hooks.complain(answer.body);
    hooks.changed(answer.body);
  }, "small");
  gone.setAttribute("aria-label", `Remove the class ${name}`);
  const thumbs = element("div", undefined, "thumbs");
  // It has those that were just added, too.
  const opened = () => thumbs.replaceChildren();
  const images = gallery(set.name, name, { opened, remove, complain: (text) => hooks.complain(text) });
  card.append(heading, element("p", "0 images", "n soft"), label, shutter, thumbs, images, gone);
  return card;
}

function addFiles(name, files, unreadable = []) {
  const inSet = set.name;
  let placed;
  try {
    placed = placedIn(name, files);
  } catch (error) {
    return hooks.complain(error.message);
  }
  const { images, nMasks } = placed;
  const left = unreadable.length > 0 ? [unreadableText(unreadable)] : [];
  if (nMasks > 0) left.push(`Left out: ${counted(nMasks, "file")} in a folder of masks.`);
  if (images.length === 0) return hooks.complain([...left, "There are no images here."].join(" "));
  hooks.add(images.map((image) => ({ ...image, set: inSet, added: (answer) => added(inSet, image.file, answer) })), left);
}
