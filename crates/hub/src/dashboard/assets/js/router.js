// Which page the address names. Pure but for `watchRoute`.

/** @returns {{page: 'overview'|'graph'|'task'|'run'|'missing', id?: string}} the id of a graph is optional */
export function route(hash) {
  const parts = hash.replace(/^#\/?/, '').split('/').filter(Boolean);
  if (parts.length === 0) return { page: 'overview' };
  if (parts.length === 1 && parts[0] === 'graph') return { page: 'graph' };
  if (parts.length === 2 && /^\d+$/.test(parts[1])) {
    if (parts[0] === 'graphs') return { page: 'graph', id: parts[1] };
    if (parts[0] === 'tasks') return { page: 'task', id: parts[1] };
  }
  if (parts.length === 2 && parts[0] === 'runs') return { page: 'run', id: decode(parts[1]) };
  return { page: 'missing' };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Addresses that name no page (`#agents`) are the browser's: it scrolls there. */
export function watchRoute(on) {
  addEventListener('hashchange', () => {
    if (location.hash === '' || location.hash.startsWith('#/')) on(route(location.hash));
  });
  on(route(location.hash));
}
