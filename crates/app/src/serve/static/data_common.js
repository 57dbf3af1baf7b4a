// What the scripts of the data page share: elements, and requests.

import { element, isWanted, withAnyway } from "/static/common.js";

export { element };

export function button(text, act, className) {
  const made = element("button", text, className);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export const counted = (n, thing) => `${n} ${n === 1 ? thing : thing.endsWith("s") ? `${thing}es` : `${thing}s`}`;
export const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/**
 * The answer of the server: its status, its body as an object or as a sentence, and `anyway` if the user was asked and wants it.
 * `answers` has those of the user to other requests for the same change.
 */
export async function ask(method, path, body, answers) {
  try {
    const response = await fetch(`/api/v1/data/${path}`, { method, body });
    const text = await response.text();
    if (isWanted(response.status, text, answers)) return { ...(await ask(method, withAnyway(path), body)), anyway: true };
    const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
    return { ok: response.ok, status: response.status, body: isJson ? JSON.parse(text) : text };
  } catch {
    return { ok: false, status: 0, body: "There is no answer: does roentgen serve still run?" };
  }
}
