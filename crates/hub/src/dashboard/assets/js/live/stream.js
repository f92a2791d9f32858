// Keeps one live connection to the hub: reads it, notices when it falls silent, tries again with
// growing pauses, resumes after the last event it saw, and falls back to polling where a stream
// cannot get through (some proxies hold it back) but plain requests can.

import { backoff } from './backoff.js';
import { SseParser } from './sse_parser.js';

/** The hub writes something at least every 15 s; three of those, and the line is dead. */
const SILENCE = 45_000;
/** Failed streams in a row, while plain requests succeed, after which polling begins. */
const STUBBORN = 3;
const POLL = 5_000;
/** A polling dashboard tries the stream again this often. */
const RETRY_STREAM = 60_000;

/**
 * @typedef {object} Line
 * @property {'connecting'|'live'|'polling'|'disconnected'|'unauthorised'} state
 * @property {number} heard  when the hub was last heard, by the browser's clock; 0 for never
 * @property {number} retryAt  when the next try begins; 0 when none is due
 */

export class Stream {
  #api;
  #on;
  #lastId = '';
  #failures = 0;
  #line = { state: 'connecting', heard: 0, retryAt: 0 };
  #wake = null;
  #stopped = false;
  #cut = null;

  /**
   * `on.events(list)` gets what happened, `on.line(line)` every change of the connection,
   * `on.gap()` says that everything should be read again, `on.poll()` reads it once and throws
   * when it cannot.
   */
  constructor(api, on) {
    this.#api = api;
    this.#on = on;
  }

  async run() {
    while (!this.#stopped) {
      try {
        await this.#follow();
      } catch (problem) {
        if (problem.unauthorised) {
          this.#set({ state: 'unauthorised', retryAt: 0 });
          await this.#pause(Infinity);
          continue;
        }
      }
      if (this.#stopped) return;
      this.#failures += 1;
      if (this.#failures >= STUBBORN && (await this.#pollForAWhile())) continue;
      const wait = backoff(this.#failures);
      this.#set({ state: 'disconnected', retryAt: Date.now() + wait });
      await this.#pause(wait);
    }
  }

  /** The reader asks for a try now. */
  retry() {
    this.#wake?.();
  }

  /** Begins again, with the token that holds now. */
  reopen() {
    this.#cut?.abort();
    this.#wake?.();
  }

  stop() {
    this.#stopped = true;
    this.#cut?.abort();
    this.#wake?.();
  }

  async #follow() {
    this.#set({ state: this.#failures ? 'disconnected' : 'connecting', retryAt: 0 });
    const cut = new AbortController();
    this.#cut = cut;
    let watchdog = setTimeout(() => cut.abort(), SILENCE);
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => cut.abort(), SILENCE);
      this.#set({ state: 'live', heard: Date.now(), retryAt: 0 });
    };
    try {
      const body = await this.#api.events(this.#lastId, cut.signal);
      const resumed = this.#lastId !== '';
      heard();
      this.#failures = 0;
      // What the stream does not repeat is read once: before the first event there was no
      // position to resume after, and a hub that lost its outbox cannot resume either.
      this.#on.gap(resumed);
      const parser = new SseParser();
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        heard();
        const events = [];
        for (const message of parser.push(value)) {
          const event = parse(message.data);
          if (event) events.push(event);
        }
        if (parser.lastId) this.#lastId = parser.lastId;
        if (events.length) this.#on.events(events);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** Whether plain requests worked; returns when it is time to try the stream again. */
  async #pollForAWhile() {
    const until = Date.now() + RETRY_STREAM;
    let worked = false;
    while (!this.#stopped && Date.now() < until) {
      try {
        await this.#on.poll();
      } catch {
        return worked;
      }
      worked = true;
      this.#set({ state: 'polling', heard: Date.now(), retryAt: 0 });
      await this.#pause(POLL);
    }
    return worked;
  }

  #set(change) {
    this.#line = { ...this.#line, ...change };
    this.#on.line(this.#line);
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
      const timer = Number.isFinite(milliseconds) ? setTimeout(done, milliseconds) : undefined;
      this.#wake = done;
    });
  }
}

function parse(data) {
  try {
    const event = JSON.parse(data);
    return typeof event?.kind === 'string' ? event : null;
  } catch {
    return null;
  }
}
