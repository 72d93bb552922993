/** How closely transactions to one destination follow each other, and how long it is left alone when it takes none. */
import type { FederationFault } from '../../fedclient/index.ts';
import { nextPause, type BackoffPolicy } from '../../util/backoff.ts';
import type { Destination } from './destination.ts';

/** Transactions to one destination are this far apart, in ms, so that one of them takes what comes close together. */
export const gapMs = 75;
/** So many in a row go without a gap when events wait: what happens once should be known over there at once. */
const freeInRow = 10;
/** ms without a transaction after which a row is over. */
const calmMs = 1000;
/** Pauses after answers that refuse a transaction; servers that do not answer are the business of `Destinations`. */
const refused: BackoffPolicy = { firstMs: 1500, youngMaxMs: 30_000, youngMs: 600_000, maxMs: 3_600_000 };

/** ms from the last transaction to the next one. */
export const gapBefore = ({ waits, burst }: Destination): number => (waits && burst < freeInRow ? 0 : gapMs);

/** Notes that a transaction was taken at a time (ms); returns how many ms later the next one may go. */
export function gapAfterSending(destination: Destination, now: number): number {
  destination.burst = now - destination.sentAt > calmMs ? 1 : destination.burst + 1;
  destination.sentAt = now;
  return gapBefore(destination);
}

/** ms until the next attempt after a fault; `retryAt`: when a server that is known to fail may be asked again. */
export function pauseAfter(
  destination: Destination,
  fault: FederationFault,
  retryAt: number | undefined,
  now: number,
): number {
  const wished = fault.kind === 'http' ? Math.min(refused.maxMs, fault.retryAfterMs ?? 0) : 0;
  // It may have contacted us just now: then it is not left alone any longer.
  if (retryAt !== undefined) return Math.max(gapMs, retryAt - now, wished);
  // It works, but refuses.
  const since = destination.refusal?.since ?? now;
  const pauseMs = nextPause(refused, destination.refusal?.pauseMs ?? 0, now - since, Math.random());
  destination.refusal = { since, pauseMs };
  return Math.max(pauseMs, wished);
}
