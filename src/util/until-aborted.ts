/**
 * Waiting no longer than a signal says. Libraries look at the signal that they are given only where they have something to
 * abort: a request that waits in undici for a connection, behind others that could not be made, may wait for ever.
 */

/** What `work` gives, or a rejection with the signal's reason when that comes first. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
