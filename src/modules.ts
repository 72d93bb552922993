/**
 * The modules, built from left to right (DESIGN §2), each handed the few others that it uses. Each route file is handed
 * only those that it names.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createAdminTasks, type AdminTasks } from './admin/index.ts';
import { createAppservices, loadServices, type Appservices } from './appservice/index.ts';
import { Bus, LaggingConsumer } from './bus/index.ts';
import { mailOptions, publicBaseUrl, type Config } from './config/index.ts';
import { createFedClient, loadSigningKey, missingFile, type FedClient } from './fedclient/index.ts';
import {
  createEdus,
  createFederation,
  createFederationSender,
  type EduHandler,
  type Federation,
  type FederationSender,
} from './federation/index.ts';
import { Metrics, RateLimiter } from './http/index.ts';
import { parseServerName, type ServerName, type UserId } from './matrix/ids.ts';
import { createMedia, type FetchRemote, type Media } from './mediaapi/index.ts';
import { createPush, type Push, type PushParts } from './push/index.ts';
import {
  createPerform,
  createRemoteMemberships,
  createRemoteRooms,
  createRoomCore,
  followGuestAccess,
  type Perform,
  type RemoteMemberships,
  type RemoteRooms,
  type RoomUsers,
  storesMeasures,
} from './roomserver/index.ts';
import { openDatabase, type Database } from './storage/index.ts';
import { createSyncApi, type SyncApi } from './syncapi/index.ts';
import {
  createRemoteUsers,
  createUserApi,
  noticeRoomOf,
  noticeSender,
  type RemoteUsers,
  ServerNotices,
  type UserApi,
} from './userapi/index.ts';
import type { Clock } from './util/clock.ts';
import type { Lifecycle } from './util/lifecycle.ts';
import type { Logger } from './util/log.ts';
import { LoopWatch } from './util/loop-watch.ts';
import { createMailer, type Mailer } from './util/mailer.ts';
import { cacheMeasure } from './util/metrics.ts';

export interface Modules {
  readonly config: Config;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limiter: RateLimiter;
  readonly db: Database;
  readonly bus: Bus;
  readonly federation: FedClient;
  /** What this server tells others. */
  readonly sender: FederationSender;
  readonly rooms: ReturnType<typeof createRoomCore>;
  readonly remote: RemoteRooms;
  /** What other servers send, on its way to its verdicts. */
  readonly serverToServer: Federation;
  readonly users: UserApi;
  /** What is known of users of other servers, and how it is asked. */
  readonly remoteUsers: RemoteUsers;
  /** What other servers send beside events. */
  readonly edus: EduHandler;
  readonly media: Media;
  readonly push: Push;
  /** Undefined: the operator has set no mail server. */
  readonly mailer: Mailer | undefined;
  readonly perform: Perform;
  readonly memberships: RemoteMemberships;
  readonly notices: ServerNotices;
  readonly sync: SyncApi;
  readonly adminTasks: AdminTasks;
  readonly appservices: Appservices;
  /** Keeps the index of the user directory. */
  readonly directoryIndex: LaggingConsumer;
  /** What follows the log at its own pace. */
  readonly consumers: readonly LaggingConsumer[];
}

/** New members and names are taken into the directory in batches; who searches does not wait for the next one. */
const directoryLagMs = 2000;

/** Opens the database of the data folder and builds every module over it; `lifecycle` learns how to stop them. */
export function buildModules(config: Config, clock: Clock, log: Logger, lifecycle: Lifecycle): Modules {
  const folder = resolve(config.dataDir);
  mkdirSync(folder, { recursive: true });
  const serverName = config.serverName as ServerName;
  const services = loadServices(config.appservices, serverName);
  const loop = lifecycle.use('loop watch', new LoopWatch(log));
  const metrics = new Metrics(loop);
  const db = openDb(folder, config, log);
  lifecycle.onStop('database', () => db.close());
  metrics.add(db.measures);
  const bus = new Bus(db);
  const mail = mailOptions(config);
  const mailer = mail === undefined ? undefined : lifecycle.use('mail', createMailer(mail));
  const signingKey = loadSigningKey(join(folder, 'signing.key'));
  const federation = lifecycle.use(
    'federation client',
    createFedClient({ db, config, serverName, signingKey, clock, log }),
  );
  metrics.add(federation.measures);
  const rooms = createRoomCore({ db, bus, serverName, signingKey, clock });
  const remote = lifecycle.use('remote rooms', createRemoteRooms({ federation, db, rooms, serverName, clock, log }));
  lifecycle.use('partial rooms', remote.partial);
  metrics.add(remote.partial.measures);
  metrics.add(remote.measures);
  const users = createUserApi({
    ...{ db, bus, rooms, config, serverName, signingKey, clock },
    isReserved: (userId) => services.reservesUser(userId),
  });
  lifecycle.onStop('accounts', () => users.close());
  const remoteUsers = lifecycle.use(
    'remote users',
    createRemoteUsers({ db, lists: users.remoteLists, federation, clock, log }),
  );
  metrics.add(remoteUsers.measures);
  const edus = createEdus({ db, rooms, users, remoteUsers, handshakes: remote.handshakes, clock, log });
  const media = lifecycle.use(
    'media',
    createMedia({
      db,
      config,
      serverName,
      clock,
      log,
      isErased: (snapshot, user) => users.accounts.isErased(snapshot, user),
      fetchRemote: fetchRemote(federation),
    }),
  );
  const push = pushOf({ config, serverName, clock, log, db, bus, rooms, users, mailer });
  lifecycle.use('push', push.delivery);
  metrics.add(push.delivery.measures);
  const members = roomUsers(users, push);
  const perform = createPerform({
    rooms,
    users: members,
    serverName,
    defaultVersion: config.rooms.defaultVersion,
    clock,
    aliasRule: (alias, serviceId, making) => services.checkAlias(alias, serviceId, making),
  });
  const memberships = createRemoteMemberships({
    ...{ db, rooms, perform, users: members, federation, remote, serverName, clock, log },
    partialJoins: config.federation.partialJoins,
  });
  followGuestAccess({ db, bus, rooms, perform, serverName, log });
  users.accounts.reserve(noticeSender(config.serverNotices, serverName));
  const notices = new ServerNotices({ ...users, rooms, perform, serverName, config: config.serverNotices });
  const { syncData: userData } = users;
  const sync = createSyncApi({ db, bus, rooms, userData, push, clock, log, config: config.sync });
  const directoryIndex = new LaggingConsumer({ db, bus, clock, log, consumer: users.directory, lagMs: directoryLagMs });
  const consumers = [sync.searchIndex, directoryIndex];
  for (const consumer of consumers) {
    lifecycle.onStop(`consumer ${consumer.name}`, () => consumer.close());
    metrics.add(consumer.measures);
  }
  metrics.add(storesMeasures(rooms.stores));
  metrics.add(users.authenticator.measures);
  metrics.add(sync.measures);
  metrics.add([cacheMeasure('push', 'entries', () => ({ counts: push.counts.cached }))]);
  const appservices = lifecycle.use(
    'app services',
    createAppservices({ registry: services, db, bus, rooms, users, serverName, aliases: perform.aliases, clock, log }),
  );
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
  const limiter = new RateLimiter(config.rateLimits, clock);
  const adminTasks = createAdminTasks({ db, bus, rooms, perform, accounts: users.accounts, clock, log });
  lifecycle.onStop('tasks of administrators', () => adminTasks.stop());
  db.read((snapshot) => users.rateOverrides.follow(snapshot, (user, limit) => limiter.override(user, limit)));
  return {
    ...{ config, serverName, clock, log, metrics, limiter, db, bus, federation, sender, rooms, remote },
    ...{
      users,
      remoteUsers,
      edus,
      serverToServer,
      media,
      push,
      mailer,
      perform,
      memberships,
      notices,
      sync,
      appservices,
      adminTasks,
      directoryIndex,
      consumers,
    },
  };
}

/** Lets the lagging consumers go on where they were; resolves when all have caught up. */
export async function startConsumers({ consumers, log }: Modules): Promise<void> {
  const starts = await Promise.allSettled(consumers.map((consumer) => consumer.start()));
  for (const start of starts) {
    if (start.status === 'rejected') log.warn({ err: start.reason as unknown }, 'a consumer of the log did not start');
  }
}

/** Where the database of a data folder is, and the migrations that make its schema. */
export const databaseFiles = (folder: string): { readonly path: string; readonly migrations: string } => ({
  path: join(folder, 'neurite.db'),
  migrations: join(import.meta.dirname, '../migrations'),
});

function openDb(folder: string, config: Config, log: Logger): Database {
  return openDatabase({
    ...databaseFiles(folder),
    cacheKib: Math.round(config.storage.cacheSize / 2048),
    log: log.child({ module: 'storage' }),
    onFatal: (error) => {
      log.fatal({ err: error }, 'the disk refused what was written: the server ends so that nothing is lost');
      process.exit(1);
    },
  });
}

/** Files of other servers. */
const fetchRemote =
  ({ api }: FedClient): FetchRemote =>
  async ({ origin, mediaId }, options) => {
    const name = parseServerName(origin);
    if (name === undefined) return { kind: 'not-found' };
    const file = await api.downloadMedia(name, mediaId, options);
    return file.ok ? { kind: 'content', ...file.value } : { kind: missingFile(file.error) };
  };

type PushModules = Omit<PushParts, 'config' | 'baseUrl' | 'users'> & Pick<Modules, 'config' | 'users'>;

function pushOf({ config, users, ...parts }: PushModules): Push {
  const { accounts, accountData, devices, receipts } = users;
  const push = createPush({
    ...parts,
    config: config.push,
    baseUrl: publicBaseUrl(config),
    users: {
      markers: receipts,
      ignoreLists: accountData,
      emailsOf: (snapshot, user) =>
        accounts.threepids(snapshot, user).flatMap(({ medium, address }) => (medium === 'email' ? [address] : [])),
      isLocal: (user) => accounts.isLocal(user as UserId),
    },
  });
  devices.onChange({ deleted: (tx, user, deviceId) => push.pushers.deviceDeleted(tx, user, deviceId) });
  return push;
}

/** What rooms ask about accounts. */
function roomUsers(users: UserApi, push: Push): RoomUsers {
  return {
    isLocal: (user) => users.accounts.isLocal(user),
    profileOf: (snapshot, user) => users.profiles.ofMember(snapshot, user),
    isNoticeRoom: (snapshot, user, roomId) => noticeRoomOf(snapshot, user) === roomId,
    isGuest: (snapshot, user) => users.accounts.get(snapshot, user)?.kind === 'guest',
    isActive: (snapshot, user) => users.accounts.get(snapshot, user)?.deactivated === false,
    blocksInvites: (snapshot, user) => users.syncData.blocksInvites(snapshot, user),
    followUpgrade: (tx, user, from, to) => {
      users.accountData.followUpgrade(tx, user, from, to);
      push.rules.followUpgrade(tx, user, from, to);
    },
  };
}
