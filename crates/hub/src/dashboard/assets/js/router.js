// Which page the address names. Pure but for `watchRoute`.

/**
 * @returns {{page: 'overview'|'graph'|'task'|'run'|'runs'|'search'|'timeline'|'approvals'|'approval'|'missing', id?: string, filter?: object}} the
 *   id of a graph is optional
 */
export function route(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const parts = path.split('/').filter(Boolean);
  if (parts.length === 0) return { page: 'overview' };
  if (parts.length === 1 && parts[0] === 'graph') return { page: 'graph' };
  if (parts.length === 1 && parts[0] === 'approvals') return { page: 'approvals' };
  if (parts.length === 1 && parts[0] === 'search') {
    return { page: 'search', filter: { q: new URLSearchParams(query).get('q') ?? '' } };
  }
  if (parts.length === 1 && parts[0] === 'runs') {
    const asked = new URLSearchParams(query);
    return { page: 'runs', filter: { environment: asked.get('environment') ?? '', state: asked.get('state') ?? '' } };
  }
  if (parts.length === 2 && /^\d+$/.test(parts[1])) {
    if (parts[0] === 'graphs') return { page: 'graph', id: parts[1] };
    if (parts[0] === 'tasks') return { page: 'task', id: parts[1] };
    if (parts[0] === 'approvals') return { page: 'approval', id: parts[1] };
  }
  if (parts.length === 3 && parts[0] === 'graphs' && /^\d+$/.test(parts[1]) && parts[2] === 'timeline') {
    return { page: 'timeline', id: parts[1] };
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
