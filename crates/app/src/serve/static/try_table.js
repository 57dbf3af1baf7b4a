// The table of results: sorted by a column, and as CSV.

const columns = [
  ({ name }) => name,
  ({ answer }) => answer && (answer.error ? "not read" : answer.rejected ? "rejected" : answer.class),
  ({ answer }) => answer?.probability ?? undefined,
  ({ answer }) => answer && (answer.error ?? answer.reason ?? answer.notes?.join(" ")),
];

/** Lets the headings be buttons, which they are not for a single row. */
export function allowSorting(table, isAllowed) {
  for (const head of table.tHead.rows[0].cells) head.querySelector("button").disabled = !isAllowed;
}

/** Sorts the rows of entries, each with its name, its row and its answer, by the column that the user has chosen. */
export function sort(table, entries) {
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
  if (column < 0) return;
  const direction = heads[column].getAttribute("aria-sort") === "ascending" ? 1 : -1;
  const value = columns[column];
  const order = (one, other) => {
    const [a, b] = [value(one), value(other)];
    // What has no value is last in both directions.
    if (!a || !b) return Boolean(b) - Boolean(a);
    if (typeof a === "number") return direction * (a - b);
    return direction * a.localeCompare(b, undefined, { numeric: true });
  };
  table.tBodies[0].append(...[...entries].sort(order).map((entry) => entry.row));
}

/** Lets the headings of a table sort it. */
export function makeSortable(table, entries) {
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const next = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", next);
      sort(table, entries);
    });
  }
}

/** A cell that a spreadsheet takes for text. */
function cell(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** The answers and corrections of entries as a table for other programs. */
export function csv(entries) {
  const names = Object.keys(entries.find(({ answer }) => answer.probabilities)?.answer.probabilities ?? {});
  const heading = [
    "image", "class", "probability", "rejected", "reason", "error", ...names.map((name) => `p(${name})`), "notes", "corrected",
  ];
  const row = ({ answer, correction }) => [
    answer.path, answer.class, answer.probability, answer.rejected, answer.reason, answer.error,
    // Who reads a table takes the largest column for the class.
    ...names.map((name) => (answer.rejected ? "" : answer.probabilities?.[name])),
    answer.notes?.join("; "), correction?.name,
  ];
  return [heading, ...entries.map(row)].map((cells) => cells.map(cell).join(",")).join("\r\n") + "\r\n";
}
