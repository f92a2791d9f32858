// A page about one record that is read again when something happens to it.

import { Sync } from '../state/sync.js';

/**
 * Reads `path` for a page. `changed` is called with every reading, `failed` with every error.
 * @returns {{value: object|null, missing: boolean, trouble: string, want: function, close: function}}
 */
export function recordOf(path, { api, changed, failed }) {
  const record = { value: null, missing: false, trouble: '', want: () => sync.want(['record']), close: () => sync.stop() };
  const sync = new Sync(
    {
      record: {
        every: 1_000,
        read: async () => {
          record.value = await api.get(path);
          record.trouble = '';
          changed();
        },
      },
    },
    {
      fail: (_, error) => {
        record.missing = error.status === 404;
        record.trouble = error.message;
        failed(error);
        changed();
      },
    },
  );
  record.want();
  return record;
}
