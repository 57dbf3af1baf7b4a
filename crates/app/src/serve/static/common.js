// What scripts of several pages need.

/** A new element with a text and a class, both optional. */
export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

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
    if (response.status !== 503) throw Object.assign(new Error(await response.text()), { status: response.status });
    await pause(1);
  }
}

export const get = (address) => request(address, {});
export const post = (address, body) => request(address, { method: "POST", body });
