// The answers of this tab: the browser keeps them until it is closed, without the images.

const { api, written } = document.querySelector("#trial").dataset;
/** Another file of the model would have other answers. */
const key = `answers of ${api} of ${written}`;

/** Keeps answers, each with its correction if there is one, and the line on all of them together. */
export function keep(entries, together) {
  const answers = entries.filter(({ answer }) => answer).map(({ answer, correction }) => ({ answer, correction }));
  // The summary, which is needed to compare images, is the largest part by far.
  const short = answers.map(({ answer, correction }) => ({ answer: { ...answer, summary: undefined }, correction }));
  if (!fits({ answers, together }) && !fits({ answers: short, together })) sessionStorage.removeItem(key);
}

/** Stores it, if it is not more than the browser takes. */
function fits(value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** What was kept. */
export function kept() {
  return JSON.parse(sessionStorage.getItem(key)) ?? { answers: [] };
}
