// Sends images to a set, a few at a time.

import { UNCONFIRMED } from "/static/common.js";
import { ask, pause } from "/static/data_common.js";

const AT_ONCE = 3;
/** Images that follow others within this time are of the same change, such as pictures that the camera takes. */
const SAME_CHANGE_MS = 2000;
const MAX_BYTES = 64 * 1024 * 1024;

/** A queue of images; `changed` is called after each, `finished` when none is left. */
export class Uploads {
  waiting = [];
  nSent = 0;
  nDone = 0;
  nInWork = 0;
  /** That were given up. */
  nUnsent = 0;
  refused = [];
  /** The sets that the user wants to change, this time, although a training cannot be resumed then. */
  anyway = new Set();
  /** What the user has answered to each question about this change. */
  answers = new Map();
  /** When the last image was done. */
  lastDone = 0;

  constructor(changed, finished) {
    this.changed = changed;
    this.finished = finished;
  }

  get nTaken() {
    return this.nDone - this.refused.length;
  }

  get isBusy() {
    return this.nInWork > 0 || this.waiting.length > 0;
  }

  /** Adds images: `set`, `class`, `file`, and if known `name`, `part`, `folder` and `added`, a function for the answer. */
  add(images) {
    if (!this.isBusy) {
      [this.nSent, this.nDone, this.nUnsent, this.refused] = [0, 0, 0, []];
      // Another training may have begun on the set since.
      if (Date.now() - this.lastDone > SAME_CHANGE_MS) [this.anyway, this.answers] = [new Set(), new Map()];
    }
    this.waiting.push(...images);
    this.nSent += images.length;
    this.changed();
    while (this.nInWork < AT_ONCE && this.waiting.length > this.nInWork) this.work();
  }

  /** Sends no more, or no more to `set`. */
  stop(set) {
    const rest = this.waiting.filter((image) => set && image.set !== set);
    const n = this.waiting.length - rest.length;
    this.nSent -= n;
    this.nUnsent += n;
    this.waiting = rest;
  }

  async work() {
    this.nInWork += 1;
    while (this.waiting.length > 0) {
      await this.send(this.waiting.shift());
      this.nDone += 1;
      this.lastDone = Date.now();
      this.changed();
    }
    this.nInWork -= 1;
    if (!this.isBusy) this.finished();
  }

  async send(image) {
    const name = image.name ?? image.file.name;
    if (image.file.size > MAX_BYTES) {
      this.refused.push({ name, reason: "the file is larger than 64 MiB" });
      return;
    }
    const parameters = new URLSearchParams({ class: image.class, name, part: image.part ?? "train" });
    if (image.folder) parameters.set("folder", image.folder);
    for (;;) {
      if (this.anyway.has(image.set)) parameters.set("anyway", "true");
      const answer = await ask("POST", `sets/${encodeURIComponent(image.set)}/images?${parameters}`, image.file, this.answers);
      if (answer.anyway) this.anyway.add(image.set);
      if (answer.ok) return image.added?.(answer.body);
      if (answer.status === 503) {
        await pause(1);
        continue;
      }
      this.refused.push({ name, reason: answer.body });
      // No server, one that was started again, a full disk, or a set that was removed: the others would fare no better.
      if ([0, 401, 507].includes(answer.status)) this.stop();
      if (answer.status === 404 || answer.status === UNCONFIRMED) this.stop(image.set);
      return;
    }
  }
}
