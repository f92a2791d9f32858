// The hub's time in a browser whose clock may be wrong: "12 s ago" compares with the hub's clock.

/** Differences below this come from the second's resolution of the `Date` header. */
const NOISE = 2_000;

export class Clock {
  #offset = 0;

  /** Learns from a response's `Date` header, received at `received`. */
  learn(header, received = Date.now()) {
    const told = Date.parse(header ?? '');
    if (Number.isFinite(told)) {
      const difference = told + 500 - received;
      this.#offset = Math.abs(difference) < NOISE ? 0 : difference;
    }
  }

  now(local = Date.now()) {
    return local + this.#offset;
  }
}
