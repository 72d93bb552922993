/**
 * How generous the garbage collector is. V8 doubles its young generation whenever much survives, up to some tens of MB for
 * the life of the process, and lets the old one grow to a multiple of what lives. Starting a server is no reason for the
 * former: `bin/neurite.js` starts with a growth of one, and from the end of the start on it grows as usual, when load asks
 * for it. Nor is the state of a huge room for either: it passes through once, and nearly all of it is garbage by then.
 */
import { setFlagsFromString } from 'node:v8';

/** By how much of what lives the old generation may grow until it is collected, while something big passes through. */
const passingPercent = 25;

let isStarted = false;
let passing = 0;

function apply(): void {
  setFlagsFromString(`--semi-space-growth-factor=${isStarted && passing === 0 ? 2 : 1}`);
  setFlagsFromString(`--heap-growing-percent=${passing === 0 ? 0 : passingPercent}`);
}

/** Ends the frugality of the start. */
export function letYoungGenerationGrow(): void {
  isStarted = true;
  apply();
}

/** Runs work through which far more passes than stays: garbage is collected earlier meanwhile. */
export async function collectingEarly<T>(work: () => Promise<T>): Promise<T> {
  passing += 1;
  apply();
  try {
    return await work();
  } finally {
    passing -= 1;
    apply();
  }
}
