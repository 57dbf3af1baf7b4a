// The training images that look to the model most like an image, in the dialog of the heat maps.

import { element, get, post } from "./common.js";

const { api, written } = document.querySelector("#trial").dataset;
const list = document.querySelector("#near");
const text = document.querySelector("#near-text");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until the server has read the training images; false if it cannot, or if nobody waits any more. */
async function isReady(isCurrent) {
  for (;;) {
    const { state, text: words } = await (await get(`${api}/training-images`)).json();
    if (!isCurrent()) return false;
    text.textContent = words;
    if (state !== "working") return state === "ready";
    await pause(700);
  }
}

function figure({ image, name, class: label, similarity }) {
  const made = element("figure");
  const picture = element("img");
  picture.src = `${api}/training-images/${image}`;
  picture.alt = `training image ${name}`;
  const caption = element("figcaption");
  caption.append(element("strong", label), element("br"), `similarity ${similarity.toFixed(3)}`);
  made.title = name;
  made.append(picture, caption);
  return made;
}

/** Clears what was shown for another image. */
export function forget() {
  list.replaceChildren();
  text.textContent = "";
}

/** Shows the training images that are nearest to an image file. */
export async function near(file, isCurrent) {
  try {
    if (!(await isReady(isCurrent))) return;
    const nearest = await (await post(`${api}/nearest?written=${written}`, file)).json();
    if (isCurrent()) list.replaceChildren(...nearest.map(figure));
  } catch (error) {
    if (isCurrent()) text.textContent = error.message;
  }
}
