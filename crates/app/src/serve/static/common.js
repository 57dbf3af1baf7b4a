// What scripts of several pages need.

/** A new element with a text and a class, both optional. */
export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/** The status of a change that the server makes only with `anyway=true`. */
export const UNCONFIRMED = 428;

/** Asks the user about such a change, once for all requests with the same `answers`. False for other refusals, without a question. */
export function isWanted(status, reason, answers = new Map()) {
  if (status !== UNCONFIRMED) return false;
  if (!answers.has(reason)) answers.set(reason, confirm(`${reason.split(";")[0]}. Make the change anyway?`));
  return answers.get(reason);
}

export const withAnyway = (address) => `${address}${address.includes("?") ? "&" : "?"}anyway=true`;

/** Sends a request. A server that is busy is asked again. Fails with a sentence for the user, and the status if there is an answer. */
async function request(address, options) {
  for (;;) {
    let response;
    try {
      response = await fetch(address, options);
    } catch {
      throw new Error("no answer: does roentgen serve still run?");
    }
    if (response.ok) return response;
    if (response.status === 503) {
      await pause(1);
      continue;
    }
    const reason = await response.text();
    if (!isWanted(response.status, reason)) throw Object.assign(new Error(reason), { status: response.status });
    address = withAnyway(address);
  }
}

export const get = (address) => request(address, {});
export const post = (address, body) => request(address, { method: "POST", body });
