// Heights within the columns: every node as near to its neighbours as the distances allow. Pure.

const ROUNDS = 12;

/**
 * `columns` are ordered; `gap(a, b)` is the least distance between the middles of two nodes that
 * stand one below the other; `weight(a, b)` says how much an edge wants to be level.
 * @returns {Map<number, number>} the middle of each node
 */
export function place(columns, before, next, gap, weight) {
  const y = new Map();
  for (const column of columns) {
    let at = 0;
    column.forEach((node, index) => {
      if (index > 0) at += gap(column[index - 1], node);
      y.set(node, at);
    });
    const middle = at / 2;
    for (const node of column) y.set(node, y.get(node) - middle);
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    const forward = round % 2 === 0;
    const way = forward ? columns : [...columns].reverse();
    // The last rounds look both ways, so that a node comes to stand between its neighbours.
    const both = round >= ROUNDS - 4;
    for (const column of way) {
      const wish = column.map((node) => {
        const near = both ? [...before[node], ...next[node]] : (forward ? before : next)[node];
        let sum = 0;
        let weights = 0;
        for (const other of near) {
          const w = weight(node, other);
          sum += w * y.get(other);
          weights += w;
        }
        return weights ? { at: sum / weights, weight: weights } : { at: y.get(node), weight: 0.2 };
      });
      settle(column, wish, gap, y);
    }
  }
  return y;
}

/**
 * The least sum of weighted squared distances from the wishes that keeps order and gaps: with the
 * gaps taken out that is isotonic regression, solved by pooling adjacent violators.
 */
function settle(column, wish, gap, y) {
  const offset = [0];
  for (let i = 1; i < column.length; i += 1) offset.push(offset[i - 1] + gap(column[i - 1], column[i]));
  const pools = [];
  column.forEach((_, i) => {
    let pool = { sum: (wish[i].at - offset[i]) * wish[i].weight, weight: wish[i].weight, size: 1 };
    while (pools.length && mean(pools.at(-1)) > mean(pool)) {
      const above = pools.pop();
      pool = {
        sum: above.sum + pool.sum,
        weight: above.weight + pool.weight,
        size: above.size + pool.size,
      };
    }
    pools.push(pool);
  });
  let i = 0;
  for (const pool of pools) {
    for (let k = 0; k < pool.size; k += 1, i += 1) y.set(column[i], mean(pool) + offset[i]);
  }
}

function mean(pool) {
  return pool.sum / pool.weight;
}
