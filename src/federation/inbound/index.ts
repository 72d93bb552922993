/** Receiving transactions of other servers: staging, verdicts, answers, and the route. */
import { JsonText, route, type Route } from '../../http/index.ts';
import type { Measure } from '../../util/metrics.ts';
import type { Task } from '../../util/tasks.ts';
import { Lanes } from './lanes.ts';
import { stagedCount } from './staging.ts';
import { type TransactionParts, Transactions } from './transactions.ts';

export type { OutOfBandHandler, PduAnswer } from './handlers.ts';

export interface Inbound extends AsyncDisposable {
  readonly routes: readonly Route[];
  readonly tasks: readonly Task[];
  readonly measures: readonly Measure[];
  /** Goes on with what waited when the server last stopped. */
  start(): void;
}

/** 50 events and 100 pieces of ephemeral data, of which some may be large. */
const maxBody = 16 * 1024 * 1024;

export function createInbound(given: TransactionParts): Inbound {
  const parts = { ...given, log: given.log.child({ module: 'federation' }) };
  const lanes = new Lanes(parts);
  const transactions = new Transactions(parts, lanes);
  return {
    routes: [sendRoute(transactions)],
    tasks: [{ name: 'forget answers to transactions', everyMs: 3_600_000, run: () => transactions.prune() }],
    measures: [
      {
        name: 'neurite_federation_staged_events',
        help: 'Received events without a verdict',
        kind: 'gauge',
        read: () => given.db.read(stagedCount),
      },
    ],
    start: () => lanes.resume(),
    [Symbol.asyncDispose]: () => lanes[Symbol.asyncDispose](),
  };
}

const sendRoute = (transactions: Transactions): Route =>
  route({
    method: 'PUT',
    path: '/_matrix/federation/v1/send/:txnId',
    auth: 'server',
    rate: 'federation',
    maxBody,
    handle: async ({ origin, params, bodyText, signal }) =>
      new JsonText([await transactions.receive(origin, params.txnId, bodyText, signal)]),
  });
