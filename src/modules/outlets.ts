/** Where what happened goes: to clients, search, application services and other servers, whose traffic comes in here too. */
import { createAppservices, type Appservices } from '../appservice/index.ts';
import { LaggingConsumer } from '../bus/index.ts';
import {
  createEdus,
  createFederation,
  createFederationSender,
  type EduHandler,
  type Federation,
  type FederationSender,
} from '../federation/index.ts';
import { createSyncApi, type SyncApi } from '../syncapi/index.ts';
import type { DeedModules } from './deeds.ts';
import type { Site } from './ground.ts';
import type { RoomModules } from './rooms.ts';
import type { UserModules } from './users.ts';

export interface ReadingModules {
  readonly sync: SyncApi;
  /** Keeps the index of the user directory. */
  readonly directoryIndex: LaggingConsumer;
  /** What follows the log at its own pace. */
  readonly consumers: readonly LaggingConsumer[];
}

/** New members and names are taken into the directory in batches; who searches does not wait for the next one. */
const directoryLagMs = 2000;

export function buildReading(site: Site, { rooms }: RoomModules, { users, push }: UserModules): ReadingModules {
  const { config, clock, log, metrics, db, bus, lifecycle } = site;
  const { syncData: userData } = users;
  const sync = createSyncApi({ db, bus, rooms, userData, push, clock, log, config: config.sync });
  metrics.add(sync.measures);
  const directoryIndex = new LaggingConsumer({ db, bus, clock, log, consumer: users.directory, lagMs: directoryLagMs });
  const consumers = [sync.searchIndex, directoryIndex];
  for (const consumer of consumers) {
    lifecycle.onStop(`consumer ${consumer.name}`, () => consumer.close());
    metrics.add(consumer.measures);
  }
  return { sync, directoryIndex, consumers };
}

export interface TrafficModules {
  readonly appservices: Appservices;
  /** What other servers send beside events. */
  readonly edus: EduHandler;
  /** What other servers send, on its way to its verdicts. */
  readonly serverToServer: Federation;
  /** What this server tells others. */
  readonly sender: FederationSender;
}

export function buildTraffic(
  site: Site,
  { federation, rooms, remote }: RoomModules,
  { users, remoteUsers }: UserModules,
  { perform, memberships }: DeedModules,
): TrafficModules {
  const { serverName, clock, log, metrics, db, bus, lifecycle, services: registry } = site;
  const appservices = lifecycle.use(
    'app services',
    createAppservices({ registry, db, bus, rooms, users, serverName, aliases: perform.aliases, clock, log }),
  );
  const edus = createEdus({ db, rooms, users, remoteUsers, handshakes: remote.handshakes, clock, log });
  const serverToServer = lifecycle.use(
    'federation',
    createFederation({ db, rooms, remote, serverName, outOfBand: memberships.outOfBand, edus, clock, log }),
  );
  metrics.add(serverToServer.measures);
  const sender = lifecycle.use(
    'federation sender',
    createFederationSender({ db, bus, fed: federation, rooms, users, serverName, clock, log }),
  );
  metrics.add(sender.measures);
  remote.handshakes.deliverBy((server) => sender.delivered(server));
  return { appservices, edus, serverToServer, sender };
}
