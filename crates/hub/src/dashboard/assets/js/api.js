// The hub's HTTP API, version 1, as far as the dashboard needs it. Whatever changes something
// carries the token of this tab in a header, which no other site can make a browser send.

const BASE = '/api/v1';
const TOKEN = 'greenloop.token';
const PATIENCE = 20_000;
/** Pages of one list that are read at most: the screen is for people. */
const MOST_PAGES = 25;
const PAGE = 200;

/** The hub answered, and the answer is a refusal. */
export class Problem extends Error {
  constructor(status, record) {
    super(record?.detail || record?.title || `the hub answered ${status}`);
    this.status = status;
    this.kind = record?.type ?? '';
  }

  get unauthorised() {
    return this.status === 401 || this.status === 403;
  }
}

export class Api {
  #clock;

  constructor(clock) {
    this.#clock = clock;
  }

  /** Kept for this tab and forgotten with it. */
  setToken(token) {
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
  }

  hasToken() {
    return sessionStorage.getItem(TOKEN) !== null;
  }

  token() {
    return sessionStorage.getItem(TOKEN);
  }

  /** Changes something, once, however often the browser sends it. Throws {@link Problem}. */
  async send(method, path, body) {
    const response = await fetch(BASE + path, {
      method,
      headers: this.headers({
        Accept: 'application/json',
        'Content-Type': 'application/json',
        'Idempotency-Key': requestKey(),
      }),
      body: JSON.stringify(body ?? {}),
      cache: 'no-store',
      signal: AbortSignal.timeout(PATIENCE),
    });
    const text = await response.text();
    let record = null;
    try {
      record = text ? JSON.parse(text) : null;
    } catch {
      // Not the hub's own answer.
    }
    if (!response.ok) throw new Problem(response.status, record);
    return record;
  }

  headers(more = {}) {
    const token = sessionStorage.getItem(TOKEN);
    return token ? { ...more, Authorization: `Bearer ${token}` } : more;
  }

  /** One record. Throws {@link Problem} for a refusal, a TypeError when nobody answers. */
  async get(path, signal, patience = PATIENCE) {
    const limit = AbortSignal.timeout(patience);
    const response = await fetch(BASE + path, {
      headers: this.headers({ Accept: 'application/json' }),
      cache: 'no-cache',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    this.#clock.learn(response.headers.get('date'));
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
    return response.json();
  }

  /** What is no record: a file. */
  async blob(path) {
    const response = await fetch(BASE + path, {
      headers: this.headers(),
      cache: 'no-store',
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
    return response.blob();
  }

  /** All items of a paged list, in order, up to `most`. */
  async list(path, { most = PAGE * MOST_PAGES, signal } = {}) {
    const items = [];
    let cursor = null;
    do {
      const query = new URLSearchParams({ limit: String(Math.min(PAGE, most - items.length)) });
      if (cursor !== null) query.set('cursor', cursor);
      const page = await this.get(`${path}${path.includes('?') ? '&' : '?'}${query}`, signal);
      // Short lists come without pages.
      if (Array.isArray(page)) return page.slice(0, most);
      items.push(...page.items);
      cursor = page.next ?? null;
    } while (cursor !== null && items.length < most);
    return items;
  }

  /** Opens the stream of events after `lastId`; from now on when there is none. */
  async events(lastId, signal) {
    const response = await fetch(`${BASE}/events`, {
      headers: this.headers({
        Accept: 'text/event-stream',
        ...(lastId ? { 'Last-Event-ID': lastId } : {}),
      }),
      cache: 'no-store',
      signal,
    });
    this.#clock.learn(response.headers.get('date'));
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
    return response.body;
  }
}

/** `crypto.randomUUID` is only there where the page is served securely. */
function requestKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
