/** When to try again what failed: pure arithmetic, all times in ms. */

export interface BackoffPolicy {
  /** Pause after the first failure. */
  readonly firstMs: number;
  /** Longest pause while the failing is young. */
  readonly youngMaxMs: number;
  /** For how long a failing counts as young. */
  readonly youngMs: number;
  /** Longest pause after that. */
  readonly maxMs: number;
}

/**
 * The pause after another failure. `lastMs` is the pause before (0: this is the first failure), `failingForMs` the time
 * since the first failure, `random` in [0, 1) spreads what failed together: up to a quarter of the pause is taken off.
 */
export function nextPause(policy: BackoffPolicy, lastMs: number, failingForMs: number, random: number): number {
  const limit = failingForMs < policy.youngMs ? policy.youngMaxMs : policy.maxMs;
  const full = Math.min(limit, lastMs === 0 ? policy.firstMs : lastMs * 2);
  return Math.max(1, Math.round(full * (1 - random / 4)));
}
