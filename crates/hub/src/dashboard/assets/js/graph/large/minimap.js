// The whole of a large graph in a corner, with a frame around what is seen. For the pointer: the
// keyboard has its own ways.

import { h } from '../../dom.js';
import { NODE } from '../layout.js';

const SIZE = { width: 190, height: 112 };

/** `go` moves the middle of the view to a point of the drawing. */
export function minimap(go) {
  const ground = h('canvas', { class: 'minimap-tasks' });
  const frame = h('canvas', { class: 'minimap-frame' });
  const element = h('div', { class: 'minimap', 'aria-hidden': 'true' }, ground, frame);
  let scale = 1;
  let ratio = 1;

  const move = (event) => {
    const { left, top } = frame.getBoundingClientRect();
    go((event.clientX - left) / scale, (event.clientY - top) / scale);
  };
  frame.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    move(event);
  });
  frame.addEventListener('pointermove', (event) => {
    if (frame.hasPointerCapture(event.pointerId)) move(event);
  });

  return {
    element,
    /** The tasks, after another layout or another state. */
    draw({ plan, nodes, colours }) {
      ratio = devicePixelRatio || 1;
      scale = Math.min(SIZE.width / Math.max(1, plan.width), SIZE.height / Math.max(1, plan.height));
      for (const canvas of [ground, frame]) {
        canvas.width = Math.ceil(plan.width * scale * ratio) || 1;
        canvas.height = Math.ceil(plan.height * scale * ratio) || 1;
        canvas.style.setProperty('width', `${canvas.width / ratio}px`);
        canvas.style.setProperty('height', `${canvas.height / ratio}px`);
      }
      const context = ground.getContext('2d');
      context.setTransform(scale * ratio, 0, 0, scale * ratio, 0, 0);
      // Never smaller than a point of the screen.
      const [width, height] = [Math.max(NODE.width, 1 / scale), Math.max(NODE.height, 1 / scale)];
      nodes.forEach((node, place) => {
        context.fillStyle = colours.states[node.state] ?? colours.soft;
        context.fillRect(plan.x[place], plan.y[place], width, height);
      });
    },
    /** The frame, after another view. */
    show(view, box, colours) {
      const context = frame.getContext('2d');
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, frame.width, frame.height);
      context.setTransform(scale * ratio, 0, 0, scale * ratio, 0, 0);
      context.strokeStyle = colours.focus;
      context.lineWidth = 1.5 / scale;
      context.strokeRect(-view.x / view.scale, -view.y / view.scale, box.width / view.scale, box.height / view.scale);
    },
  };
}
