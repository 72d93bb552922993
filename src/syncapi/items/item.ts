/**
 * An item owns one path of the response tree and says three things: what of it changed in a range by looking it up
 * (polylog), whether one log entry belongs into this user's response (linear), and its text (compose). Linear and
 * polylog only mark where to look; both must mark enough for `compose` to find the same (DESIGN §6).
 */
import type { Entry } from '../../bus/index.ts';
import type { Part, Pass } from '../pass.ts';

/** Work for `yield*`: one that pauses (`Compose`), or one that `atOnce` has done. */
export type Steps<T> = Iterable<undefined, T, undefined>;

export interface Item {
  /** Member of the response object that this item writes. */
  readonly path: string;
  /** Marks, by look-ups over the range of the pass, what may have changed. */
  polylog(pass: Pass): Steps<void>;
  /** Marks what one entry tells of; false when it does not concern this user. */
  linear(pass: Pass, entry: Entry): boolean;
  compose(pass: Pass): Steps<Part | undefined>;
}

/** The result of work that is too short for a pause. */
export const atOnce = <T>(value: T): Steps<T> => ({
  [Symbol.iterator]: () => ({ next: () => ({ done: true, value }) }),
});

/** How many small steps are taken between two offers to yield. */
const stepsPerYield = 32;

/** True at every so many-th step: `if (isPause(step)) yield;`. */
export const isPause = (step: number): boolean => step % stepsPerYield === stepsPerYield - 1;
