// The dialog that shows what a prediction is based on: heat maps over the picture.

import { post } from "./common.js";
import { forget, near } from "./try_near.js";

const dialog = document.querySelector("#why");
const { api, written } = document.querySelector("#trial").dataset;
const title = dialog.querySelector("h2");
const opacity = dialog.querySelector("#opacity");
const figures = [...dialog.querySelectorAll("figure")];
let shown = 0;
let addresses = [];

/** Address of a picture that this page has. */
function keep(blob) {
  const address = URL.createObjectURL(blob);
  addresses.push(address);
  return address;
}

function png(base64) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

const part = (figure, name) => figure.querySelector(name);

function clear() {
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
  for (const figure of figures) {
    for (const image of figure.querySelectorAll("img")) image.removeAttribute("src");
    part(figure, ".window").hidden = true;
    part(figure, ".heat-legend").hidden = true;
    part(figure, ".text").textContent = "working …";
  }
}

/** Frames what the model sees, if that is not all. */
function frame(box, [left, top, right, bottom]) {
  box.hidden = left <= 0 && top <= 0 && right >= 1 && bottom >= 1;
  const percent = (share) => `${100 * share}%`;
  Object.assign(box.style, {
    left: percent(left), top: percent(top), width: percent(right - left), height: percent(bottom - top),
  });
}

async function fill(figure, file, name, isCurrent) {
  const method = figure.dataset.method;
  try {
    const response = await post(`${api}/explain?method=${method}&written=${written}`, file);
    const { text, overlay, greatest, window } = await response.json();
    if (!isCurrent()) return;
    const text_of = part(figure, ".text");
    text_of.textContent = text;
    frame(part(figure, ".window"), window);
    if (overlay === null) return;
    const image = part(figure, ".overlay");
    image.src = keep(png(overlay));
    image.alt = `${part(figure, "h3").textContent} over ${name}: ${text}`;
    part(figure, ".heat-legend").hidden = false;
    part(figure, ".greatest").textContent = greatest.toFixed(2);
  } catch (error) {
    if (isCurrent()) part(figure, ".text").textContent = error.message;
  }
}

/** Opens the dialog for an entry with its file, its name and its answer. */
export async function why({ file, name, answer }) {
  shown += 1;
  const of = shown;
  const isCurrent = () => of === shown && dialog.open;
  clear();
  forget();
  title.textContent = answer.rejected ? `Why is ${name} rejected?` : `Why is ${name} ${answer.class}?`;
  dialog.querySelector(".rejected").hidden = !answer.rejected;
  dialog.querySelector(".reason").textContent = answer.rejected ? `Rejected: ${answer.reason}.` : "";
  opacity.value = opacity.defaultValue;
  fade();
  dialog.showModal();
  opacity.focus();
  // The first map is much faster than the second, and is not to wait for it.
  const maps = figures.map((figure) => () => fill(figure, file, name, isCurrent));
  try {
    const picture = keep(await (await post(`${api}/picture?written=${written}`, file)).blob());
    if (!isCurrent()) return;
    for (const figure of figures) part(figure, ".picture").src = picture;
  } catch (error) {
    for (const figure of figures) part(figure, ".text").textContent = error.message;
    return;
  }
  for (const map of maps) await map();
  await near(file, isCurrent);
}

const fade = () => dialog.style.setProperty("--opacity", opacity.value / 100);
opacity.addEventListener("input", fade);
fade();
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", clear);
