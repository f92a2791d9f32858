// Rows of buttons for what a person may do now. They are there for those who hold an admin token;
// whatever is done with them goes through the API and is recorded there.

import { h } from '../dom.js';

/** Whether the token of this tab may change something. */
export function mayAct(state) {
  return state.session?.scope === 'admin';
}

/**
 * `actions` are `{name, label, when(subject), run(subject)}`; `update(subject, state)` shows those
 * that suit the subject. Buttons stay, so that the focus does.
 */
export function actionRow(label, actions) {
  let subject = null;
  const buttons = actions.map((action) => {
    const button = h('button', { type: 'button', 'data-action': action.name, onclick: () => action.run(subject) }, action.label);
    return [action, button];
  });
  const element = h('div', { class: 'action-row', role: 'group', 'aria-label': label }, ...buttons.map(([, button]) => button));
  element.hidden = true;
  return {
    element,
    update(now, state) {
      subject = now;
      let shown = 0;
      for (const [action, button] of buttons) {
        button.hidden = !now || !action.when(now);
        if (!button.hidden) shown += 1;
      }
      element.hidden = shown === 0 || !mayAct(state);
    },
  };
}
