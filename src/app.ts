/**
 * The composition root: builds the modules from left to right (DESIGN §2), hands each the few others that it uses, and
 * stops them in reverse order.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { App } from './app-interface.ts';
import { Bus } from './bus/index.ts';
import { allRoutes, allSockets } from './routes.ts';
import type { Config } from './config/index.ts';
import { loadSigningKey } from './fedclient/index.ts';
import { Metrics, pruneTransactions, RateLimiter, startHttp } from './http/index.ts';
import { serverNameOf, type ServerName, type UserId } from './matrix/ids.ts';
import { createMedia } from './mediaapi/index.ts';
import type { Modules } from './modules.ts';
import { createPush } from './push/index.ts';
import { createPerform, createRoomCore, type RoomUsers } from './roomserver/index.ts';
import { openDatabase, type Database } from './storage/index.ts';
import { createSyncApi } from './syncapi/index.ts';
import { createUserApi, type UserApi } from './userapi/index.ts';
import type { Push } from './push/index.ts';
import { systemClock } from './util/clock.ts';
import { Lifecycle } from './util/lifecycle.ts';
import { createLogger, type Logger } from './util/log.ts';
import { LoopWatch } from './util/loop-watch.ts';
import { TaskRunner } from './util/tasks.ts';

/** Requests under way get this long to end when the server stops. */
const graceMs = 5000;
const minuteMs = 60_000;

/** Builds and starts the server; the caller holds the data folder. @throws MigrationError, and Error in one sentence */
export async function startApp(config: Config): Promise<App> {
  const log = createLogger(config.log);
  const lifecycle = new Lifecycle(log);
  try {
    const modules = buildModules(config, log, lifecycle);
    await modules.users.memberEvents.resume();
    runTasks(modules, lifecycle);
    const http = await listen(modules, lifecycle);
    return await appOf(modules, http.urls, lifecycle);
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

function buildModules(config: Config, log: Logger, lifecycle: Lifecycle): Modules {
  const folder = resolve(config.dataDir);
  mkdirSync(folder, { recursive: true });
  const serverName = config.serverName as ServerName;
  const clock = systemClock;
  const loop = lifecycle.use('loop watch', new LoopWatch(log));
  const metrics = new Metrics(loop);
  const db = openDb(folder, config, log);
  lifecycle.onStop('database', () => db.close());
  metrics.add(db.measures);
  const bus = new Bus(db);
  const signingKey = loadSigningKey(join(folder, 'signing.key'));
  const rooms = createRoomCore({ db, bus, serverName, signingKey, clock });
  const users = createUserApi({ db, bus, rooms, config, serverName, clock });
  lifecycle.onStop('accounts', () => users.close());
  const media = lifecycle.use('media', createMedia({ db, config, serverName, clock, log }));
  const isLocal = (user: string): boolean => serverNameOf(user as UserId) === serverName;
  const push = createPush({ db, bus, rooms, markers: users.receipts, isLocal });
  const perform = createPerform({
    rooms,
    users: roomUsers(users, push),
    serverName,
    defaultVersion: config.rooms.defaultVersion,
    clock,
  });
  const { syncData: userData } = users;
  const sync = createSyncApi({ db, bus, rooms, userData, push, clock, log, config: config.sync });
  const limiter = new RateLimiter(config.rateLimits, clock);
  return {
    ...{ config, serverName, clock, log, metrics, limiter, db, bus, rooms },
    ...{ users, media, push, perform, sync },
  };
}

function openDb(folder: string, config: Config, log: Logger): Database {
  return openDatabase({
    path: join(folder, 'neurite.db'),
    migrations: join(import.meta.dirname, '../migrations'),
    cacheKib: Math.round(config.storage.cacheSize / 2048),
    log: log.child({ module: 'storage' }),
    onFatal: (error) => {
      log.fatal({ err: error }, 'the disk refused what was written: the server ends so that nothing is lost');
      process.exit(1);
    },
  });
}

/** What rooms ask about accounts. */
function roomUsers(users: UserApi, push: Push): RoomUsers {
  return {
    isLocal: (user) => users.accounts.isLocal(user),
    profileOf: (snapshot, user) => users.profiles.ofMember(snapshot, user),
    isGuest: (snapshot, user) => users.accounts.get(snapshot, user)?.kind === 'guest',
    blocksInvites: (snapshot, user) => users.syncData.blocksInvites(snapshot, user),
    followUpgrade: (tx, user, from, to) => {
      for (const [tag, value] of Object.entries(users.accountData.tags(tx, user, from))) {
        users.accountData.setTag(tx, user, to, tag, value as Record<string, never>);
      }
      push.rules.followUpgrade(tx, user, from, to);
    },
  };
}

/** Background work of all modules. */
function runTasks({ clock, log, media, metrics, bus, db }: Modules, lifecycle: Lifecycle): void {
  const runner = new TaskRunner({ clock, log, onBusy: (name, ms) => metrics.busy(name, ms) });
  lifecycle.onStop('tasks', () => runner.stop());
  runner.add({ name: 'trim the output log', everyMs: minuteMs, run: (signal) => bus.trim(signal) });
  runner.add({ name: 'forget old transaction ids', everyMs: 60 * minuteMs, run: () => pruneTransactions(db, clock) });
  for (const task of media.tasks) runner.add(task);
}

async function listen(modules: Modules, lifecycle: Lifecycle): Promise<{ readonly urls: readonly string[] }> {
  const { config, db, metrics, clock, log, limiter } = modules;
  const { authenticator } = modules.users;
  const routes = allRoutes(modules);
  const sockets = allSockets(modules);
  const http = await startHttp({ config, routes, sockets, authenticator, limiter, db, metrics, clock, log });
  lifecycle.onStop('http', () => http.stop(graceMs));
  return http;
}

async function appOf(modules: Modules, addresses: readonly string[], lifecycle: Lifecycle): Promise<App> {
  const { config, db, users, media } = modules;
  const byToken = config.registration.mode === 'token';
  return {
    addresses,
    registrationToken: byToken ? await users.registrationTokens.current(db) : undefined,
    createUser: async ({ localpart, password, admin }) => {
      const wish = { username: localpart, password, isAdmin: admin, inhibitLogin: true };
      return (await users.registration.registerByOperator(wish)).userId;
    },
    verify: async (print) => {
      for (const fault of await media.verify()) print(fault);
    },
    close: () => lifecycle.stop(),
  };
}
