// Server-Sent Events out of a stream of text, after the HTML standard's section on them. Pure.
// EventSource itself cannot send an Authorization header, so the stream is read with `fetch`.

/** A message longer than this is given up: the hub's are a few hundred characters. */
const LONGEST = 1 << 20;

/** Feeds on pieces as they arrive, cut anywhere; returns the messages that became complete. */
export class SseParser {
  #rest = '';
  #data = [];
  #event = '';
  #size = 0;
  #lastId = '';
  #afterReturn = false;

  /** The id to resume after. */
  get lastId() {
    return this.#lastId;
  }

  /** @returns {{id: string, event: string, data: string}[]} */
  push(piece) {
    let text = piece;
    // A return at the end of the last piece already ended its line.
    if (this.#afterReturn && text.startsWith('\n')) text = text.slice(1);
    if (text !== '') this.#afterReturn = false;
    text = this.#rest + text;

    const messages = [];
    let start = 0;
    const end = /\r\n|\n|\r/g;
    for (let found = end.exec(text); found; found = end.exec(text)) {
      const message = this.#line(text.slice(start, found.index));
      if (message) messages.push(message);
      start = end.lastIndex;
      if (found[0] === '\r' && start === text.length) this.#afterReturn = true;
    }
    this.#rest = text.slice(start);
    if (this.#rest.length > LONGEST) this.#rest = '';
    return messages;
  }

  #line(line) {
    if (line === '') return this.#dispatch();
    if (line.startsWith(':')) return null;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const raw = colon < 0 ? '' : line.slice(colon + 1);
    const value = raw.startsWith(' ') ? raw.slice(1) : raw;
    if (field === 'data') {
      this.#size += value.length;
      if (this.#size <= LONGEST) this.#data.push(value);
    } else if (field === 'event') {
      this.#event = value;
    } else if (field === 'id' && !value.includes('\0')) {
      this.#lastId = value;
    }
    return null;
  }

  #dispatch() {
    const data = this.#data;
    const event = this.#event || 'message';
    const whole = this.#size <= LONGEST;
    this.#data = [];
    this.#event = '';
    this.#size = 0;
    if (data.length === 0 || !whole) return null;
    return { id: this.#lastId, event, data: data.join('\n') };
  }
}
