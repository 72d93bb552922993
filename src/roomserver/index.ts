/** Roomserver: the only writer of room state. */
export type * from './core.ts';
export type * from './types.ts';
