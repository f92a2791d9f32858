// Reads lists from the hub when they are needed and no more often than each allows: a thousand
// events a second must not become a thousand requests.

/** Tasks that are read one by one; with more than these, the list is read as a whole. */
const SINGLY = 6;

export class Sync {
  #sources;
  #run;
  #fail;
  #due = new Map();
  #last = new Map();
  #busy = new Set();
  #timer = null;
  #progress = { read: 0, open: [], failure: null };

  /**
   * `sources` maps a name to `{every, read}`: the shortest time between two readings in
   * milliseconds, and what reads. `fail` hears of readings that did not succeed.
   */
  constructor(sources, { run = (delay, what) => setTimeout(what, delay), fail = () => {} } = {}) {
    this.#sources = sources;
    this.#run = run;
    this.#fail = fail;
  }

  /** Asks for names to be read as soon as they may be. */
  want(names, now = Date.now()) {
    for (const name of names) {
      const source = this.#sources[name];
      if (!source || this.#due.has(name)) continue;
      this.#due.set(name, Math.max(now, (this.#last.get(name) ?? -Infinity) + source.every));
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

  async #one(name, progress) {
    this.#due.delete(name);
    this.#last.set(name, Date.now());
    try {
      await this.#sources[name].read();
    } catch (error) {
      if (error.status !== 404) {
        progress.failure ??= { name, error };
        throw error;
      }
    }
    progress.read += 1;
    progress.open = progress.open.filter((other) => other !== name);
  }

  #schedule(now) {
    if (this.#timer !== null) return;
    const times = [...this.#due].filter(([name]) => !this.#busy.has(name)).map(([, time]) => time);
    if (times.length === 0) return;
    this.#timer = this.#run(Math.max(0, Math.min(...times) - now), () => {
      this.#timer = null;
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
        .catch((error) => this.#fail(name, error))
        .finally(() => {
          this.#busy.delete(name);
          this.#schedule(Date.now());
        });
    }
    this.#schedule(now);
  }
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
