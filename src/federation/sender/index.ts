/**
 * What this server tells others (S-S API v1.19 §Transactions and the EDUs of its modules). It owns the tables
 * `sender_…`.
 */
import type { Bus } from '../../bus/index.ts';
import type { FedClient } from '../../fedclient/index.ts';
import type { ServerName, UserId } from '../../matrix/ids.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Database, Snapshot, Tx } from '../../storage/index.ts';
import type { UserApi } from '../../userapi/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import type { Measure } from '../../util/metrics.ts';
import { Introductions } from './introductions.ts';
import { News } from './news.ts';
import { Outbox } from './outbox.ts';
import { Sender } from './sender.ts';
import { selectChain } from './storage.ts';
import { trimMessages, trimOutbox } from './trim.ts';
import { queueMessages, type DeviceMessages } from './to-device.ts';

export type { DeviceMessages } from './to-device.ts';

export interface FederationSenderParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly fed: Pick<FedClient, 'api' | 'destinations' | 'permits'>;
  readonly rooms: RoomReader;
  readonly users: Pick<
    UserApi,
    'devices' | 'deviceKeys' | 'deviceLists' | 'crossSigning' | 'typing' | 'presence' | 'receipts'
  >;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
  /** Events that the outbox keeps for servers that are away; default 20,000. */
  readonly keptEvents?: number;
}

export interface FederationSender extends AsyncDisposable {
  /** Takes up what the last process left unsent, and begins to send. */
  start(): void;
  /** Puts messages for devices into the queue of their server, in the transaction of the client's request. */
  queueToDevice(tx: Tx, server: ServerName, messages: DeviceMessages): void;
  /** The `stream_id` of the last update of a user's device list that this server was sent; undefined: it was sent none. */
  sentStream(snapshot: Snapshot, server: ServerName, userId: UserId): number | undefined;
  /** Sends what waits for a server now; resolves when it has that, does not take it, or after some seconds. */
  delivered(server: ServerName): Promise<void>;
  /** Deletes what every server has, and what is too old to be kept for those that are away. */
  trim(signal?: AbortSignal): Promise<void>;
  /** Tells the servers of their rooms again who of our users are present; due every 25 minutes. */
  repeatPresence(): void;
  readonly measures: readonly Measure[];
}

const keptEventsByDefault = 20_000;
/** Longest wait of who wants to be sure that a server has what waits for it. */
const deliveryMs = 10_000;

/** Builds the module and adds its projection and its listener to the bus. */
export function createFederationSender(parts: FederationSenderParts): FederationSender {
  const { db, bus, fed, rooms, users, serverName, clock, keptEvents = keptEventsByDefault } = parts;
  const log = parts.log.child({ module: 'federation' });
  const { devices, deviceKeys, crossSigning, typing, presence, receipts } = users;
  const introductions = new Introductions(clock, (servers) => sender.wake(servers));
  const keys = { devices, deviceKeys, crossSigning, introductions };
  const sender = new Sender({ db, fed, rooms, serverName, presence, clock, log, ...keys });
  const permits = (server: ServerName): boolean => fed.permits(server);
  const wake = (servers: readonly ServerName[]): void => sender.wake(servers);
  const { deviceLists } = users;
  bus.addProjection(new Outbox({ rooms, serverName, devices, deviceKeys, deviceLists, introductions, permits, wake }));
  const news = new News({ db, bus, rooms, serverName, typing, presence, receipts, sender });
  return {
    start: () => sender.start(),
    queueToDevice: (tx, server, messages) => {
      if (!permits(server)) return;
      queueMessages(tx, server, messages);
      tx.afterDurable(() => sender.wake([server]));
    },
    sentStream: (snapshot, server, userId) => snapshot.get(selectChain, server, userId)?.stream_id,
    delivered: (server) => sender.delivered(server, deliveryMs),
    trim: async (signal) => {
      await sender.settle();
      await trimOutbox(db, keptEvents, signal);
      await trimMessages(db, (server) => fed.destinations.failing(server)?.since, clock.now());
    },
    repeatPresence: () => news.repeatPresence(),
    measures: measuresOf(sender),
    [Symbol.asyncDispose]: () => {
      introductions.close();
      return sender.close();
    },
  };
}

function measuresOf(sender: Sender): Measure[] {
  const { counters } = sender;
  const measure = (name: string, help: string, kind: Measure['kind'], read: () => number): Measure => ({
    name: `neurite_federation_${name}`,
    help,
    kind,
    read,
  });
  return [
    measure('destinations_waiting', 'Servers that something waits for', 'gauge', () => sender.sizes.waiting),
    measure(
      'destinations_pausing',
      'Servers that are sent nothing until a pause ends',
      'gauge',
      () => sender.sizes.pausing,
    ),
    measure('transactions_running', 'Transactions on their way', 'gauge', () => sender.sizes.running),
    measure('sent_transactions_total', 'Transactions that were taken', 'counter', () => counters.transactions),
    measure('sent_pdus_total', 'Events in them', 'counter', () => counters.pdus),
    measure('sent_edus_total', 'EDUs in them', 'counter', () => counters.edus),
    measure('send_failures_total', 'Attempts that failed', 'counter', () => counters.failures),
  ];
}
