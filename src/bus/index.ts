/** Bus: the output log, inline projections, wake-ups, lagging consumers. */
export { Bus, type Logged, type Projection } from './bus.ts';
export type { Consumer, ConsumerContents } from './consumer.ts';
export { LaggingConsumer } from './lagging-consumer.ts';
export type * from './topics.ts';
export { verifyConsumer, type VerifyConsumerOptions } from './verify-consumer.ts';
