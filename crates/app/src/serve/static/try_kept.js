// The images of this tab and their answers: the browser keeps them until it is closed, without the files.

const { api, written } = document.querySelector("#trial").dataset;
const ofRun = `images of ${api} of `;
/** Another file of the model would have other answers. */
const key = ofRun + written;
const earlierKeys = () => Object.keys(sessionStorage).filter((known) => known.startsWith(ofRun) && known !== key);

/** Keeps the names of images, each with its answer and its correction if it has them, and their comparison. */
export function keep(images, comparison) {
  const entries = images.map(({ name, answer, correction }) => ({ name, answer, correction }));
  // The summary, which is needed to compare images, is the largest part by far.
  const short = entries.map((entry) => ({ ...entry, answer: entry.answer && { ...entry.answer, summary: undefined } }));
  if (!fits({ entries, comparison }) && !fits({ entries: short, comparison })) sessionStorage.removeItem(key);
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
  return JSON.parse(sessionStorage.getItem(key)) ?? { entries: [], comparison: null };
}

/** The images that earlier files of the model have answered, those of each file apart. */
export function earlier() {
  const answered = (known) => JSON.parse(sessionStorage.getItem(known)).entries.filter(({ answer }) => answer);
  return earlierKeys().map(answered).filter((entries) => entries.length > 0);
}

/** Forgets them. */
export function forgetEarlier() {
  for (const known of earlierKeys()) sessionStorage.removeItem(known);
}
