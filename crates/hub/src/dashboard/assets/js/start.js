// Runs before the page's modules, and without them: says what is wrong when one of them cannot be
// loaded or does not start. `main.js` replaces the note, and with it all of this ends.

(() => {
  const note = () => document.getElementById('start');

  /** The files that the server refused or did not send. */
  function missing() {
    return performance
      .getEntriesByType('resource')
      .filter((entry) => entry.name.includes('/js/') && !(entry.responseStatus >= 200 && entry.responseStatus < 400))
      .map((entry) => new URL(entry.name).pathname);
  }

  function tell(text) {
    const place = note();
    if (!place) return;
    place.querySelector('h1').textContent = 'The dashboard did not start';
    const files = missing();
    place.querySelector('p').textContent = files.length > 0 ? `${text} Not loaded: ${files.join(', ')}.` : text;
    place.querySelector('button').hidden = false;
  }

  addEventListener(
    'error',
    (event) => {
      if (event.target instanceof HTMLScriptElement) tell('A script of the page failed to load.');
      else if (event.message) tell(`A script of the page failed: ${event.message}.`);
    },
    true,
  );
  addEventListener('click', (event) => {
    if (note()?.querySelector('button') === event.target) location.reload();
  });
})();
