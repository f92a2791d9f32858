// What a screen reader is told without being asked: new alerts and changes of the connection,
// never figures, and never more often than one can listen to.

const PAUSE = 6_000;

export class Announcer {
  #element;
  #waiting = [];
  #last = -Infinity;
  #known = null;
  #line = null;

  constructor(element) {
    this.#element = element;
  }

  /** Says which alerts are new; those of the first look are on the page to be read. */
  alerts(list) {
    if (this.#known) {
      const fresh = list.filter((alert) => !this.#known.has(alert.id));
      if (fresh.length === 1) this.#waiting.push(`${fresh[0].what}: ${fresh[0].text}`);
      if (fresh.length > 1) this.#waiting.push(`${fresh.length} new alerts.`);
    }
    this.#known = new Set(list.map((alert) => alert.id));
  }

  line(state) {
    const before = this.#line;
    if (state === before || state === 'connecting') return;
    this.#line = state;
    if (state === 'disconnected') this.#waiting.push('No connection to the hub.');
    else if (state === 'live' && before === 'disconnected') this.#waiting.push('Reconnected.');
  }

  /** Called now and then; says what has gathered. */
  speak(now) {
    if (this.#waiting.length === 0 || now - this.#last < PAUSE) return;
    this.#last = now;
    this.#element.textContent = this.#waiting.slice(-3).join(' ');
    this.#waiting = [];
  }
}
