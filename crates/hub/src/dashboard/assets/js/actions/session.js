// Who this tab is for the hub: nobody, or the holder of a token.

import { h, setText } from '../dom.js';
import { openDialog } from './dialog.js';

export function sessionPanel(place, api, changed) {
  const who = h('span', { class: 'who' });
  const button = h('button', { type: 'button', id: 'sign-in', onclick: () => (signedIn() ? signOut() : signIn()) });
  place.append(who, button);
  let session = null;

  function signedIn() {
    return api.hasToken();
  }

  function signOut() {
    api.setToken(null);
    changed();
  }

  function signIn() {
    openDialog({
      title: 'Sign in',
      text: 'With a token of the scope admin this page can act. The token is kept in this tab until the tab is closed.',
      reason: false,
      fields: [
        {
          name: 'token',
          label: 'Token',
          kind: 'password',
          required: true,
          help: 'greenloop hub token create --name you --scope admin',
        },
      ],
      async run({ token }) {
        const before = api.token();
        api.setToken(token.trim());
        try {
          await api.get('/session');
        } catch (error) {
          api.setToken(before);
          throw error;
        }
        changed();
      },
    });
  }

  return {
    update(state) {
      session = state.session;
      setText(who, session?.name ? `${session.name} (${session.scope})` : '');
      setText(button, signedIn() ? 'Sign out' : 'Sign in');
    },
  };
}
