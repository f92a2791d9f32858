// Asks for what an action needs, and why it is done; says what the hub answers when it refuses.

import { h } from '../dom.js';

let numbered = 0;

/**
 * Opens a dialog. `fields` are `{name, label, kind, value, help, required}`, kind `text`, `area`,
 * `number`, `check` or `password`; a reason is asked for as well unless `reason` is false. `run`
 * gets the values and throws when the hub refuses.
 */
export function openDialog({ title, text = '', fields = [], reason = true, confirm = title, run }) {
  numbered += 1;
  const all = reason ? [...fields, { name: 'reason', label: 'Reason, for the record', kind: 'text' }] : fields;
  const inputs = all.map((field) => [field, input(field, `field-${numbered}-${field.name}`)]);
  const trouble = h('p', { class: 'refused', role: 'alert', hidden: true });
  const submit = h('button', { type: 'submit', class: 'main-button' }, confirm);
  const form = h(
    'form',
    {
      class: 'action-form',
      onsubmit: async (event) => {
        event.preventDefault();
        submit.disabled = true;
        try {
          await run(Object.fromEntries(inputs.map(([field, element]) => [field.name, valueOf(field, element)])));
          dialog.close();
        } catch (error) {
          trouble.hidden = false;
          trouble.textContent = error.message;
          submit.disabled = false;
        }
      },
    },
    h('h2', { id: `dialog-${numbered}` }, title),
    text ? h('p', {}, text) : null,
    ...inputs.map(([field, element]) => row(field, element)),
    trouble,
    h('div', { class: 'action-ends' }, submit, h('button', { type: 'button', onclick: () => dialog.close() }, 'Close')),
  );
  const dialog = h('dialog', { class: 'action-dialog', 'aria-labelledby': `dialog-${numbered}`, onclose: () => dialog.remove() }, form);
  document.body.append(dialog);
  dialog.showModal();
  inputs[0]?.[1].focus();
  return dialog;
}

function input(field, id) {
  const common = { id, name: field.name, required: Boolean(field.required), autocomplete: 'off', 'aria-describedby': field.help ? `${id}-help` : null };
  if (field.kind === 'area') {
    const area = h('textarea', { ...common, rows: '6' });
    area.value = field.value ?? '';
    return area;
  }
  const kinds = { number: 'number', check: 'checkbox', password: 'password' };
  const element = h('input', { ...common, type: kinds[field.kind] ?? 'text' });
  if (field.kind === 'check') element.checked = Boolean(field.value);
  else element.value = field.value ?? '';
  return element;
}

function row(field, element) {
  const help = field.help ? h('p', { class: 'more', id: `${element.id}-help` }, field.help) : null;
  const label = h('label', { for: element.id }, field.label);
  return h('div', { class: field.kind === 'check' ? 'field check' : 'field' }, ...(field.kind === 'check' ? [element, label] : [label, element]), help);
}

function valueOf(field, element) {
  if (field.kind === 'check') return element.checked;
  if (field.kind === 'number') return element.value === '' ? null : Number(element.value);
  return element.value;
}
