// The images that a class of a set has on the server: a page of them at a time, each with a button that removes it.

import { ask, button, element } from "/static/data_common.js";

/** A gallery, at first with the button that opens it alone. `hooks` has `opened()`, `remove(path)` and `complain(text)`. */
export function gallery(set, name, hooks) {
  const list = element("div", undefined, "shown");
  let last = "";
  const more = button("Show the images", async () => {
    const query = `class=${encodeURIComponent(name)}&after=${encodeURIComponent(last)}`;
    const answer = await ask("GET", `sets/${encodeURIComponent(set)}/images?${query}`);
    if (!answer.ok) return hooks.complain(answer.body);
    const { images, n_more: nMore } = answer.body;
    if (last === "") hooks.opened();
    const items = images.map((path) => item(set, path, hooks.remove));
    list.append(...items);
    last = images.at(-1) ?? last;
    more.textContent = `Show more (${nMore} left)`;
    items[0]?.querySelector("button").focus();
    more.hidden = nMore === 0;
  }, "small");
  const box = element("div", undefined, "gallery");
  box.append(list, more);
  return box;
}

function item(set, path, remove) {
  const made = element("div");
  made.dataset.path = path;
  const file = path.split("/").pop();
  const image = element("img");
  image.alt = file;
  image.title = path;
  image.loading = "lazy";
  image.src = `/api/v1/data/sets/${encodeURIComponent(set)}/thumbnail?path=${encodeURIComponent(path)}`;
  const gone = button("×", async () => {
    const next = made.nextElementSibling ?? made.previousElementSibling;
    await remove(path);
    if (!made.isConnected) next?.querySelector("button").focus();
  });
  gone.title = "Remove";
  gone.setAttribute("aria-label", `Remove ${file}`);
  made.append(image, gone);
  return made;
}
