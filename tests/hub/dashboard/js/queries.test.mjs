// The dashboard's requests: the hub rejects unknown query parameters.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { Api } from '../../../../crates/hub/src/dashboard/assets/js/api.js';
import { readings } from '../../../../crates/hub/src/dashboard/assets/js/readings.js';
import { emptyState } from '../../../../crates/hub/src/dashboard/assets/js/state/reduce.js';

const ROOT = new URL('../../../../', import.meta.url);
const SCRIPTS = new URL('crates/hub/src/dashboard/assets/js/', ROOT);
const PATHS = JSON.parse(readFileSync(new URL('docs/openapi.json', ROOT), 'utf8')).paths;

/** The query parameters that a path takes; `null` for one that is not in the API. */
function known(path) {
  const parts = path.split('/');
  const fits = (template) => {
    const own = template.split('/');
    return own.length === parts.length && own.every((part, nth) => part === parts[nth] || part.startsWith('{'));
  };
  const holes = (template) => template.split('{').length;
  const [template] = Object.keys(PATHS).filter(fits).sort((a, b) => holes(a) - holes(b));
  if (!template) return null;
  return (PATHS[template].get?.parameters ?? []).filter((one) => one.in === 'query').map((one) => one.name);
}

/** Answers two pages to everything, and keeps what was asked for. */
function hub() {
  const asked = [];
  globalThis.sessionStorage = { getItem: () => null };
  globalThis.fetch = async (url) => {
    const address = new URL(url, 'http://hub');
    asked.push(address);
    return Response.json({ items: [], ids: [], next: address.searchParams.has('cursor') ? null : '7' });
  };
  return asked;
}

function check(asked) {
  for (const address of asked) {
    const names = known(address.pathname);
    assert.ok(names, `${address.pathname} is not in the API`);
    for (const name of address.searchParams.keys()) {
      assert.ok(names.includes(name), `${address.pathname} takes no ${name}, but ${names.join(', ') || 'none'}`);
    }
  }
}

const clock = { learn() {} };

test('every list is asked for in a way that the hub knows', async () => {
  const asked = hub();
  const state = emptyState();
  const sources = readings(new Api(clock), state, () => {});
  for (const source of Object.values(sources)) {
    state.graph = 1;
    await source.read();
  }
  await new Api(clock).events('', undefined);
  await new Api(clock).events('7', undefined);
  assert.ok(asked.length > Object.keys(sources).length, 'lists come in pages');
  check(asked);
});

test('so is every other record, wherever a script asks for it', async () => {
  const asked = hub();
  const api = new Api(clock);
  const scripts = readdirSync(SCRIPTS, { recursive: true }).filter((name) => name.endsWith('.js'));
  let calls = 0;
  for (const script of scripts) {
    const text = readFileSync(new URL(script, SCRIPTS), 'utf8');
    for (const [, kind, , path] of text.matchAll(/\b(?:api\.(get|list)|recordOf)\(\s*(['`])(\/.*?)\2/g)) {
      calls += 1;
      await api[kind ?? 'get'](path.replaceAll(/\$\{.*?\}/g, '1'));
    }
  }
  assert.ok(calls >= 8, `${calls} calls were found`);
  check(asked);
});

test('the check sees what the hub would refuse', () => {
  assert.throws(() => check([new URL('http://hub/api/v1/branches?limit=200')]), /takes no limit/);
  assert.throws(() => check([new URL('http://hub/api/v1/nothing')]), /not in the API/);
});
