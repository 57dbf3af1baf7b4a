// Sends each image that the user chooses or drops, and shows the answer in a row of the table.

const AT_ONCE = 3;
const [input, drop] = [document.querySelector("#files"), document.querySelector(".drop")];
const [table, save] = [document.querySelector("#results"), document.querySelector("#save")];
const trial = document.querySelector("#trial");
const status = document.querySelector("#status");
const waiting = [];
const answers = [];
let nSent = 0, nDone = 0, nInWork = 0;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/** The answer of the server, or an object with the error. A server that is busy is asked again. */
async function predict(file) {
  const address = `${trial.dataset.predict}?name=${encodeURIComponent(file.name)}`;
  for (;;) {
    try {
      const response = await fetch(address, { method: "POST", body: file });
      if (response.ok) return await response.json();
      if (response.status !== 503) return { path: file.name, error: await response.text() };
    } catch {
      return { path: file.name, error: "no answer: does roentgen serve still run?" };
    }
    await pause(1);
  }
}

function bars(probabilities) {
  const grid = element("div", undefined, "bars");
  for (const [name, value] of Object.entries(probabilities).sort((a, b) => b[1] - a[1])) {
    const meter = element("meter");
    meter.value = value;
    meter.setAttribute("aria-label", name);
    grid.append(element("span", name), meter, element("span", percent(value)));
  }
  return grid;
}

function show(file, row, answer) {
  const [image, label, probability, remark] = [0, 1, 2, 3].map(() => element("td"));
  if (file.type.startsWith("image/")) {
    const picture = element("img");
    picture.alt = "";
    picture.src = URL.createObjectURL(file);
    picture.onload = picture.onerror = () => URL.revokeObjectURL(picture.src);
    image.append(picture);
  }
  image.append(file.name);
  if (answer.error) {
    label.textContent = "not read";
    remark.textContent = answer.error;
  } else if (answer.rejected) {
    label.textContent = "rejected";
    remark.textContent = answer.reason;
  } else {
    label.append(element("strong", answer.class));
    probability.append(bars(answer.probabilities));
  }
  for (const note of answer.notes ?? []) remark.append(element("div", note, "soft"));
  row.replaceChildren(image, label, probability, remark);
}

async function work() {
  nInWork += 1;
  while (waiting.length > 0) {
    const { file, row } = waiting.shift();
    const answer = await predict(file);
    answers.push(answer);
    show(file, row, answer);
    nDone += 1;
    status.textContent = nDone < nSent ? `${nDone} of ${nSent} images` : `${nDone} images done`;
    save.hidden = false;
  }
  nInWork -= 1;
}

function add(files) {
  for (const file of files) {
    const row = element("tr");
    const cell = element("td", `${file.name} …`);
    cell.colSpan = 4;
    row.append(cell);
    table.tBodies[0].append(row);
    waiting.push({ file, row });
    nSent += 1;
  }
  table.hidden = nSent === 0;
  while (nInWork < AT_ONCE && waiting.length > nInWork) work();
}

/** A cell that a spreadsheet takes for text. */
function cell(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

function csv() {
  const names = Object.keys(answers.find((answer) => answer.probabilities)?.probabilities ?? {});
  const heading = ["image", "class", "probability", "rejected", "reason", "error", ...names.map((name) => `p(${name})`)];
  const row = (answer) => [
    answer.path, answer.class, answer.probability, answer.rejected, answer.reason, answer.error,
    // Who reads a table takes the largest column for the class.
    ...names.map((name) => (answer.rejected ? "" : answer.probabilities?.[name])),
  ];
  return [heading, ...answers.map(row)].map((cells) => cells.map(cell).join(",")).join("\r\n") + "\r\n";
}

input.addEventListener("change", () => {
  add(input.files);
  input.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop") add(event.dataTransfer.files);
  });
}
save.addEventListener("click", () => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "predictions.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});
