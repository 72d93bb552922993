/** Puts together what federation does by itself: receiving transactions. Routes that only read stand for themselves. */
import type { Route } from '../http/index.ts';
import type { Measure } from '../util/metrics.ts';
import type { Task } from '../util/tasks.ts';
import { createInbound } from './inbound/index.ts';

export type FederationParts = Parameters<typeof createInbound>[0];

export interface Federation extends AsyncDisposable {
  readonly routes: readonly Route[];
  readonly tasks: readonly Task[];
  readonly measures: readonly Measure[];
  /** Takes up what waited when the server last stopped. */
  start(): void;
}

export function createFederation(parts: FederationParts): Federation {
  const inbound = createInbound(parts);
  return {
    routes: inbound.routes,
    tasks: inbound.tasks,
    measures: inbound.measures,
    start: () => inbound.start(),
    [Symbol.asyncDispose]: () => inbound[Symbol.asyncDispose](),
  };
}
