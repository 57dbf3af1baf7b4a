// The answers of this tab: the browser keeps them until it is closed, without the images.

const { api, written } = document.querySelector("#trial").dataset;
/** Another file of the model would have other answers. */
const key = `answers of ${api} of ${written}`;

/** Keeps answers, each with its correction if there is one, and the line on all of them together. */
export function keep(entries, together) {
  const answered = entries.filter(({ answer }) => answer);
  // The summary is needed as long as images are compared; it is the largest part by far.
  const answers = answered.map(({ answer, correction }) => ({ answer: { ...answer, summary: undefined }, correction }));
  try {
    sessionStorage.setItem(key, JSON.stringify({ answers, together }));
  } catch {
    // More than a browser takes.
    sessionStorage.removeItem(key);
  }
}

/** What was kept. */
export function kept() {
  return JSON.parse(sessionStorage.getItem(key)) ?? { answers: [] };
}
