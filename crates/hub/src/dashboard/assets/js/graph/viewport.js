// Which part of a drawing is seen, and how large. Pure: a view is `{x, y, scale}`, and a point of
// the drawing appears at `point * scale + (x, y)`.

const LARGEST = 2;

/** The whole drawing in the middle, never larger than life. */
export function fit(drawing, box, margin = 16) {
  const width = Math.max(1, box.width - 2 * margin);
  const height = Math.max(1, box.height - 2 * margin);
  const scale = Math.min(1, width / Math.max(1, drawing.width), height / Math.max(1, drawing.height));
  return {
    scale,
    x: (box.width - drawing.width * scale) / 2,
    y: (box.height - drawing.height * scale) / 2,
  };
}

/** Scaled by `factor` around a point of the box, which stays where it is. */
export function zoom(view, factor, point, smallest) {
  const scale = Math.min(LARGEST, Math.max(smallest, view.scale * factor));
  const ratio = scale / view.scale;
  return {
    scale,
    x: point.x - (point.x - view.x) * ratio,
    y: point.y - (point.y - view.y) * ratio,
  };
}

/** Moved; at least a corner of the drawing stays in the box. */
export function pan(view, dx, dy, drawing, box) {
  const corner = 60;
  return {
    scale: view.scale,
    x: clamp(view.x + dx, corner - drawing.width * view.scale, box.width - corner),
    y: clamp(view.y + dy, corner - drawing.height * view.scale, box.height - corner),
  };
}

/** Moved just so far that a rectangle of the drawing is seen whole. */
export function reveal(view, rectangle, box, margin = 24) {
  const left = rectangle.x * view.scale + view.x;
  const top = rectangle.y * view.scale + view.y;
  return {
    scale: view.scale,
    x: view.x + into(left, left + rectangle.width * view.scale, margin, box.width - margin),
    y: view.y + into(top, top + rectangle.height * view.scale, margin, box.height - margin),
  };
}

function into(start, end, from, to) {
  if (start < from) return from - start;
  if (end > to) return Math.max(to - end, from - start);
  return 0;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, Math.min(low, high)), Math.max(low, high));
}
