/** Bus: the output log, inline projections and wake-ups. */
export { Bus, type Logged, type Projection } from './bus.ts';
export type * from './topics.ts';
