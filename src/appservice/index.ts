/**
 * Application services (A-S API v1.19): registrations, who is interested in what, one ordered durable queue each,
 * queries, third-party networks, ping. It owns the tables `appservice_…`.
 */
import type { Bus, RoomNid } from '../bus/index.ts';
import type { Authenticator } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { ServerName, UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import type { UserApi } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { ServiceAuthenticator } from './authenticator.ts';
import { ServiceClient, ServiceSilent } from './client.ts';
import { NetworkDirectory } from './directory.ts';
import { EphemeralData } from './ephemeral.ts';
import { Interest } from './interest.ts';
import { Networks } from './networks.ts';
import { ServiceQueries, type UnknownNames } from './queries.ts';
import { ServiceQueue } from './queue.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';
import { ServiceSender } from './sender.ts';
import { deleteQueue, selectOutbox, selectServices, upsertOutbox } from './storage.ts';

export type { NetworkDirectory } from './directory.ts';
export type { LookupKind, Networks } from './networks.ts';
export type { UnknownNames } from './queries.ts';
export { parseRegistration, type Namespace, type Registration } from './registration.ts';
export { loadServices, ServiceRegistry } from './registry.ts';

export interface AppserviceParts {
  readonly registry: ServiceRegistry;
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly users: UserApi;
  readonly serverName: ServerName;
  readonly aliases: {
    aliasesOf(snapshot: Snapshot, room: RoomNid): readonly string[];
    roomOf(snapshot: Snapshot, alias: string): RoomNid | undefined;
  };
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Appservices extends AsyncDisposable {
  readonly registry: ServiceRegistry;
  /** Knows the tokens of services, and those of users. */
  readonly authenticator: Authenticator;
  readonly queries: UnknownNames;
  readonly networks: Networks;
  readonly directory: NetworkDirectory;
  /** Makes the accounts of the senders. */
  prepare(): Promise<void>;
  /** Begins to send what waits. */
  start(): void;
  /**
   * Asks a service whether it is there; ms that it took.
   * @throws M_URL_NOT_SET, M_BAD_STATUS, M_CONNECTION_FAILED, M_CONNECTION_TIMEOUT
   */
  ping(service: Registration, transactionId: string | undefined): Promise<number>;
}

/** ms */
const pingTimeout = 30_000;
/** Characters of a service's answer that are shown for a failed ping. */
const shownAnswer = 2000;

/** Builds the module and adds its projection to the bus. */
export function createAppservices(parts: AppserviceParts): Appservices {
  const { registry, db, bus, rooms, users, serverName, aliases, clock } = parts;
  const log = parts.log.child({ module: 'appservice' });
  const client = new ServiceClient(clock);
  const senders = new Map<Registration, ServiceSender>();
  const wake = (service: Registration): void => senders.get(service)?.wake();
  const interest = new Interest(registry, rooms, (snapshot, room) => aliases.aliasesOf(snapshot, room));
  const { receipts, toDevice, typing, presence, oneTimeKeys, accounts, devices } = users;
  const ephemeral = new EphemeralData({ db, registry, interest, rooms, typing, presence, wake });
  for (const service of registry.reached) {
    senders.set(service, new ServiceSender(service, { db, clock, log, client, ephemeral, rooms, oneTimeKeys }));
  }
  if (registry.reached.length > 0) {
    bus.addProjection(new ServiceQueue({ bus, registry, interest, rooms, receipts, toDevice, wake }));
    bus.addListener((entries) => ephemeral.hear(entries));
  }
  const isKnownUser = (user: UserId): boolean => db.read((snapshot) => accounts.get(snapshot, user)) !== undefined;
  const isKnownAlias = (alias: string): boolean => db.read((snapshot) => aliases.roomOf(snapshot, alias)) !== undefined;
  return {
    registry,
    authenticator: new ServiceAuthenticator({ db, registry, users: users.authenticator, devices }),
    queries: new ServiceQueries({ registry, client, clock, serverName, isKnownUser, isKnownAlias }),
    networks: new Networks(registry, client, clock),
    directory: new NetworkDirectory(),
    prepare: () => prepare(parts),
    start: () => {
      ephemeral.begin();
      for (const sender of senders.values()) sender.start();
    },
    ping: async (service, transactionId) => {
      const ms = await ping(client, service, transactionId);
      senders.get(service)?.retry();
      return ms;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...senders.values()].map((sender) => sender.close()));
      await client.close();
    },
  };
}

/** Accounts of senders; queues of services that are no longer there go. */
async function prepare({ db, registry, users }: AppserviceParts): Promise<void> {
  const reached = new Set(registry.reached.map(({ id }) => id));
  const { gone, missing } = db.read((snapshot) => ({
    gone: snapshot
      .all(selectServices)
      .map((row) => row.appservice)
      .filter((id) => !reached.has(id)),
    missing: registry.all.filter(({ sender }) => users.accounts.get(snapshot, sender) === undefined),
  }));
  if (gone.length === 0 && missing.length === 0) return;
  await db.write((tx) => {
    for (const id of gone) {
      tx.run(deleteQueue, id);
      tx.run(upsertOutbox, id, tx.get(selectOutbox, id)?.txn_id ?? 0, null);
    }
    for (const { sender } of missing) users.accounts.create(tx, { userId: sender });
  });
}

async function ping(client: ServiceClient, service: Registration, transactionId: string | undefined): Promise<number> {
  if (service.url === undefined) throw matrixError.urlNotSet();
  const started = performance.now();
  const body = JSON.stringify(transactionId === undefined ? {} : { transaction_id: transactionId });
  try {
    const { status, text } = await client.ask(service, { method: 'POST', path: '/ping', body, timeout: pingTimeout });
    if (status !== 200) {
      throw matrixError.badStatus(`The application service answered with status ${status}`, {
        status,
        body: text.slice(0, shownAnswer),
      });
    }
  } catch (error) {
    if (!(error instanceof ServiceSilent)) throw error;
    throw error.timedOut ? matrixError.connectionTimeout() : matrixError.connectionFailed();
  }
  return Math.round(performance.now() - started);
}
