// The order within each column, so that few edges cross. Pure.
// Barycentre sweeps after Sugiyama, Tagawa and Toda (1981); crossings are counted with the
// accumulator tree of Barth, Jünger and Mutzel (2002).

const SWEEPS = 16;
/** Neighbours are also exchanged one by one while a graph is small enough for that. */
const EXCHANGE_BELOW = 1_500;

/**
 * `columns[l]` lists the nodes of column `l`; every edge of `next` leads one column on. Returns
 * columns of the same nodes in a better order, never a worse one.
 */
export function order(columns, before, next) {
  let current = columns.map((column) => [...column]);
  const size = current.reduce((sum, column) => sum + column.length, 0);
  let best = current;
  let fewest = crossings(current, next);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep += 1) {
    current = current.map((column) => [...column]);
    if (sweep % 2 === 0) {
      for (let l = 1; l < current.length; l += 1) sortBy(current[l], current[l - 1], before);
    } else {
      for (let l = current.length - 2; l >= 0; l -= 1) sortBy(current[l], current[l + 1], next);
    }
    if (size < EXCHANGE_BELOW) exchange(current, before, next);
    const now = crossings(current, next);
    if (now < fewest) {
      fewest = now;
      best = current;
    }
  }
  return best;
}

function sortBy(column, beside, neighbours) {
  const place = new Map(beside.map((node, index) => [node, index]));
  const weight = new Map(
    column.map((node, index) => {
      const places = neighbours[node].map((other) => place.get(other)).filter((p) => p !== undefined);
      // A node without neighbours there keeps its place relative to the column's length.
      const own = column.length > 1 ? (index / (column.length - 1)) * (beside.length - 1) : 0;
      return [node, places.length ? places.reduce((a, b) => a + b, 0) / places.length : own];
    }),
  );
  column.sort((a, b) => weight.get(a) - weight.get(b));
}

/** Exchanges direct neighbours where that saves crossings, on both sides of the column. */
function exchange(columns, before, next) {
  for (let l = 0; l < columns.length; l += 1) {
    const left = new Map((columns[l - 1] ?? []).map((node, index) => [node, index]));
    const right = new Map((columns[l + 1] ?? []).map((node, index) => [node, index]));
    const column = columns[l];
    let improved = true;
    for (let round = 0; improved && round < 4; round += 1) {
      improved = false;
      for (let i = 0; i + 1 < column.length; i += 1) {
        const [a, b] = [column[i], column[i + 1]];
        const as = pairs(before[a], before[b], left) + pairs(next[a], next[b], right);
        const swapped = pairs(before[b], before[a], left) + pairs(next[b], next[a], right);
        if (swapped < as) {
          column[i] = b;
          column[i + 1] = a;
          improved = true;
        }
      }
    }
  }
}

/** Crossings between the edges of an upper and a lower node. */
function pairs(upper, lower, place) {
  let found = 0;
  for (const one of upper) {
    const p = place.get(one);
    if (p === undefined) continue;
    for (const other of lower) {
      const q = place.get(other);
      if (q !== undefined && p > q) found += 1;
    }
  }
  return found;
}

/** All crossings between neighbouring columns. */
export function crossings(columns, next) {
  let found = 0;
  for (let l = 0; l + 1 < columns.length; l += 1) {
    const place = new Map(columns[l + 1].map((node, index) => [node, index]));
    const ends = columns[l].flatMap((node) =>
      next[node]
        .map((to) => place.get(to))
        .filter((p) => p !== undefined)
        .sort((a, b) => a - b),
    );
    found += inversions(ends, columns[l + 1].length);
  }
  return found;
}

function inversions(ends, width) {
  const tree = new Array(width + 1).fill(0);
  let found = 0;
  ends.forEach((end, seen) => {
    let upTo = 0;
    for (let i = end + 1; i > 0; i -= i & -i) upTo += tree[i];
    found += seen - upTo;
    for (let i = end + 1; i <= width; i += i & -i) tree[i] += 1;
  });
  return found;
}
