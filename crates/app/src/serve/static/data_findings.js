// What is found in the chosen images: asked for until it is there, then shown.

import { ask, button, counted, element, pause } from "/static/data_common.js";

const POLL_SECONDS = 0.7;
const box = document.querySelector("#findings");
let turn = 0;

/** Shows what is found in `data`, from now on and until other data are shown; `remove(path)` removes a file, if one may. */
export async function examine(data, remove) {
  turn += 1;
  const mine = turn;
  const isOld = () => mine !== turn;
  let answer = await ask("POST", `inspections?data=${encodeURIComponent(data)}`);
  while (!isOld()) {
    if (!answer.ok) return box.replaceChildren(element("p", answer.body, "remark bad"));
    if (answer.body.state === "done") return show(data, answer.body, remove);
    if (answer.body.state === "stopped") return showStopped(data, remove);
    showProgress(answer.body);
    await pause(POLL_SECONDS);
    if (isOld()) return;
    answer = await ask("GET", `inspections/${answer.body.id}`);
  }
}

/** Shows nothing. */
export function clear() {
  turn += 1;
  box.replaceChildren();
}

/** Shows what keeps the images from being checked. */
export function note(text) {
  turn += 1;
  box.replaceChildren(element("p", text, "remark"));
}

function showProgress({ id, state, doing, done, total }) {
  let line = box.querySelector(".examining");
  if (!line) {
    line = element("div", undefined, "examining");
    const progress = element("progress");
    progress.setAttribute("aria-label", "Images that were checked");
    line.append(element("p"), progress, button("Stop the check", () => ask("DELETE", `inspections/${line.dataset.id}`)));
    line.firstChild.setAttribute("role", "status");
    box.replaceChildren(line);
  }
  line.dataset.id = id;
  const [text, progress] = line.children;
  const number = total > 0 ? ` (${done} of ${total})` : "";
  const sentence = state === "waiting" ? "Waiting to check the images …" : `The images are checked: ${doing}${number} …`;
  if (text.textContent !== sentence) text.textContent = sentence;
  if (total > 0) [progress.max, progress.value] = [total, done];
  else progress.removeAttribute("value");
}

function trainLink(data, text, more = "") {
  const link = element("a", text, "main");
  link.href = `/train?data=${encodeURIComponent(data)}${more}`;
  return link;
}

function showStopped(data, remove) {
  const again = button("Check them", () => examine(data, remove));
  const text = "The check was stopped. Training on these images is possible, but nothing is known about them.";
  box.replaceChildren(element("p", text, "remark"), again, " ", trainLink(data, "Train on these"));
}

function show(data, { id, findings }, remove) {
  const { blocks, warnings, facts, classes, samples, can_skip_bad: canSkipBad } = findings;
  const parts = [];
  if (blocks.length > 0) {
    parts.push(remarks("This has to be fixed before a training", blocks, "remark bad", remove));
    if (canSkipBad) parts.push(trainLink(data, "Train without them", "&skip_bad=true"));
  } else {
    const warned = warnings.length > 0 ? `, with ${counted(warnings.length, "warning")}` : "";
    parts.push(element("p", `A model can be trained on these images${warned}.`, "remark good"), trainLink(data, "Train on these"));
  }
  if (classes.length > 0) parts.push(bars(classes));
  if (warnings.length > 0) parts.push(remarks("Warnings: training works, but read them", warnings, "remark", remove));
  if (facts.length > 0) {
    const list = element("ul", undefined, "facts");
    list.append(...facts.map((fact) => element("li", fact)));
    parts.push(list);
  }
  parts.push(...pictures(id, samples));
  const status = element("p", blocks.length > 0 ? "Checked: there is something to fix." : "Checked.", "unseen");
  status.setAttribute("role", "status");
  box.replaceChildren(status, ...parts);
}

function remarks(title, found, className, remove) {
  const part = element("section");
  part.append(element("h3", title));
  for (const { text, items, n_more } of found) {
    const remark = element("div", undefined, className);
    remark.append(element("p", text));
    if (items.length > 0) remark.append(itemList(items, n_more, remove));
    part.append(remark);
  }
  return part;
}

function itemList(items, nMore, remove) {
  const details = element("details");
  details.open = items.some(({ path }) => path);
  const list = element("ul");
  for (const { text, path } of items) {
    const line = element("li", text);
    if (path && remove) line.append(" ", button("Remove", () => remove(path), "small"));
    list.append(line);
  }
  if (nMore > 0) list.append(element("li", `and ${nMore} more`));
  details.append(element("summary", counted(items.length + nMore, "item")), list);
  return details;
}

function bars(classes) {
  const grid = element("div", undefined, "class-bars");
  const total = ({ train, val, test }) => train + val + test;
  const most = Math.max(...classes.map(total));
  for (const found of classes) {
    const meter = element("meter");
    [meter.max, meter.value] = [most, total(found)];
    meter.setAttribute("aria-label", found.name);
    const { train, val, test } = found;
    grid.append(element("span", found.name), meter, element("span", `${total(found)}`));
    grid.append(element("span", `${train} training, ${val} validation, ${test} test`, "soft"));
  }
  return grid;
}

function pictures(id, samples) {
  const byClass = new Map();
  samples.forEach((sample, index) => {
    byClass.set(sample.class, [...(byClass.get(sample.class) ?? []), { ...sample, index }]);
  });
  return [...byClass].map(([name, found]) => {
    const figure = element("figure", undefined, "samples");
    figure.append(element("figcaption", name));
    for (const { index, name: file } of found) {
      const image = element("img");
      image.src = `/api/v1/data/inspections/${id}/samples/${index}`;
      image.alt = image.title = file;
      image.loading = "lazy";
      figure.append(image);
    }
    return figure;
  });
}
