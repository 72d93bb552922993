/** Bus: the output log, inline projections, wake-ups, lagging consumers. */
export { Bus, type Logged, type Projection } from './bus.ts';
export { isBehind, type Consumer } from './consumer.ts';
export { LaggingConsumer } from './lagging-consumer.ts';
export type * from './topics.ts';
