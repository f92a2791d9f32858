// What a page that shows nothing yet waits for, in words.

/**
 * @param {import('../live/stream.js').Line} line
 * @param {{read: number, open: string[], failure: {name: string, error: Error}|null}} progress
 */
export function waitingFor(line, progress) {
  if (line.state === 'connecting') return 'Connecting to the hub …';
  if (line.state === 'disconnected') return 'The hub does not answer.';
  if (progress.failure) {
    const { name, error } = progress.failure;
    return `Could not load ${name} from the hub: ${error.message}. Retrying.`;
  }
  if (progress.open.length === 0) return 'Loading from the hub …';
  const all = progress.read + progress.open.length;
  return `Loading from the hub: ${progress.read} of ${all} lists loaded, waiting for ${progress.open.join(', ')}.`;
}
