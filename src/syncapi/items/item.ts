/**
 * An item owns one path of the response tree and says three things: what of it changed in a range by looking it up
 * (polylog), whether one log entry belongs into this user's response (linear), and its text (compose). Linear and
 * polylog only mark where to look; both must mark enough for `compose` to find the same (DESIGN §6).
 */
import type { Entry } from '../../bus/index.ts';
import type { Compose, Part, Pass } from '../pass.ts';

export interface Item {
  /** Member of the response object that this item writes. */
  readonly path: string;
  /** Marks, by look-ups over the range of the pass, what may have changed. */
  polylog(pass: Pass): Compose<void>;
  /** Marks what one entry tells of; false when it does not concern this user. */
  linear(pass: Pass, entry: Entry): boolean;
  compose(pass: Pass): Compose<Part | undefined>;
}

/** How many small steps are taken between two offers to yield. */
const stepsPerYield = 32;

/** True at every so many-th step: `if (isPause(step)) yield;`. */
export const isPause = (step: number): boolean => step % stepsPerYield === stepsPerYield - 1;
