/**
 * The garbage collector's young generation: V8 doubles it whenever much survives, up to 32 MB, and starting a server is
 * just that, once, for the life of the process. `bin/neurite.js` therefore starts with a growth of one; from the end of
 * the start on it grows as usual, when load asks for it.
 */
import { setFlagsFromString } from 'node:v8';

/** Ends the frugality of the start. */
export const letYoungGenerationGrow = (): void => setFlagsFromString('--semi-space-growth-factor=2');
