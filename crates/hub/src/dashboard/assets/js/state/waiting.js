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
    return `Reading ${name} from the hub failed: ${error.message}. It is tried again.`;
  }
  if (progress.open.length === 0) return 'Reading from the hub …';
  const all = progress.read + progress.open.length;
  return `Reading from the hub: ${progress.read} of ${all} lists are here, ${progress.open.join(', ')} to come.`;
}
