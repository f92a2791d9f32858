// Reads lists from the hub when they are needed and no more often than each allows: a thousand
// events a second must not become a thousand requests. A reading that fails is tried again, with
// growing pauses, until it succeeds or the hub refuses it for good.

import { backoff } from '../live/backoff.js';

/** Tasks that are read one by one; with more than these, the list is read as a whole. */
const SINGLY = 6;

export class Sync {
  #sources;
  #run;
  #cancel;
  #fail;
  #due = new Map();
  #last = new Map();
  #busy = new Set();
  /** How often in a row a reading failed. */
  #failures = new Map();
  #stopped = false;
  #timer = null;
  /** When the timer goes off; `Infinity` without one. */
  #wakes = Infinity;
  #progress = { read: 0, open: [], failure: null };

  /**
   * `sources` maps a name to `{every, read}`: the shortest time between two readings in
   * milliseconds, and what reads. `fail` hears of readings that did not succeed. `run` starts a
   * timer, and `cancel` takes what it returned.
   */
  constructor(sources, { run = (delay, what) => setTimeout(what, delay), cancel = clearTimeout, fail = () => {} } = {}) {
    this.#sources = sources;
    this.#run = run;
    this.#cancel = (timer) => cancel(timer);
    this.#fail = fail;
  }

  /** Asks for names to be read as soon as they may be. */
  want(names, now = Date.now()) {
    for (const name of names) {
      const source = this.#sources[name];
      if (!source) continue;
      const at = Math.max(now, (this.#last.get(name) ?? -Infinity) + source.every);
      // One that waits after a failure is read earlier.
      this.#due.set(name, Math.min(at, this.#due.get(name) ?? Infinity));
    }
    this.#schedule(now);
  }

  /**
   * Reads all of them now, `first` before the others; throws when one cannot be read. A list that
   * the hub does not have (an older one) stays empty and keeps nobody from seeing the others.
   */
  async all(first, others) {
    const progress = { read: 0, open: [...first, ...others], failure: null };
    this.#progress = progress;
    for (const names of [first, others]) {
      const outcomes = await Promise.allSettled(names.map((name) => this.#one(name, progress)));
      const failed = outcomes.find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
    }
  }

  /**
   * How far the newest `all` is.
   * @returns {{read: number, open: string[], failure: {name: string, error: Error}|null}}
   */
  get progress() {
    return this.#progress;
  }

  /** Reads nothing any more: nobody sees it. */
  stop() {
    this.#stopped = true;
    this.#due.clear();
  }

  async #one(name, progress) {
    this.#due.delete(name);
    this.#last.set(name, Date.now());
    this.#busy.add(name);
    try {
      await this.#sources[name].read();
    } catch (error) {
      if (error.status !== 404) {
        progress.failure ??= { name, error };
        throw error;
      }
    } finally {
      this.#busy.delete(name);
      this.#schedule(Date.now());
    }
    progress.read += 1;
    progress.open = progress.open.filter((other) => other !== name);
  }

  #schedule(now) {
    if (this.#stopped) return;
    const times = [...this.#due].filter(([name]) => !this.#busy.has(name)).map(([, time]) => time);
    const next = Math.min(...times);
    // What is due before all that waits must not wait with it.
    if (times.length === 0 || next >= this.#wakes) return;
    if (this.#timer !== null) this.#cancel(this.#timer);
    this.#wakes = next;
    this.#timer = this.#run(Math.max(0, next - now), () => {
      this.#timer = null;
      this.#wakes = Infinity;
      this.#go(Date.now());
    });
  }

  #go(now) {
    for (const [name, time] of [...this.#due]) {
      if (time > now || this.#busy.has(name)) continue;
      this.#due.delete(name);
      this.#last.set(name, now);
      this.#busy.add(name);
      this.#sources[name]
        .read()
        .then(
          () => this.#failures.delete(name),
          (error) => this.#failed(name, error),
        )
        .finally(() => {
          this.#busy.delete(name);
          this.#schedule(Date.now());
        });
    }
    this.#schedule(now);
  }

  #failed(name, error) {
    if (this.#stopped) return;
    if (mayPass(error)) {
      const failures = (this.#failures.get(name) ?? 0) + 1;
      this.#failures.set(name, failures);
      const again = Date.now() + backoff(failures);
      this.#due.set(name, Math.min(again, this.#due.get(name) ?? Infinity));
    } else {
      this.#failures.delete(name);
    }
    this.#fail(name, error);
  }
}

/** Whether the same request may succeed later: not one for what is not there, nor without a token. */
function mayPass(error) {
  return error.status !== 404 && !error.unauthorised;
}

/** Tasks to read again: single ones while they are few. */
export class Touched {
  #ids = new Set();

  add(ids) {
    for (const id of ids) this.#ids.add(id);
  }

  get size() {
    return this.#ids.size;
  }

  /** Empties itself. `null` stands for "too many: read them all". */
  take() {
    const ids = [...this.#ids];
    this.#ids.clear();
    return ids.length > SINGLY ? null : ids;
  }
}
