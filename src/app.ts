/**
 * The composition root: has the modules built, runs their background work, listens, and stops all in reverse order.
 */
import type { App } from './app-interface.ts';
import { allRoutes, allSockets } from './routes.ts';
import type { Config } from './config/index.ts';
import { pruneTransactions, startHttp } from './http/index.ts';
import { managePartialRooms } from './partial-rooms.ts';
import { buildModules, startConsumers, type Modules } from './modules.ts';
import { applyRetention, collectState, deleteOriginals } from './roomserver/index.ts';
import { systemClock } from './util/clock.ts';
import { Lifecycle } from './util/lifecycle.ts';
import { createLogger } from './util/log.ts';
import { TaskRunner } from './util/tasks.ts';
import { repairDerived } from './verify.ts';

/** Requests under way get this long to end when the server stops. */
const graceMs = 5000;
const minuteMs = 60_000;
/** Consumers of the log have this long to catch up before the server listens. */
const consumersMs = 500;

/** Builds and starts the server; the caller holds the data folder. @throws MigrationError, and Error in one sentence */
export async function startApp(config: Config): Promise<App> {
  const log = createLogger(config.log);
  const lifecycle = new Lifecycle(log);
  try {
    const modules = buildModules(config, systemClock, log, lifecycle);
    await modules.users.memberEvents.resume();
    // What there is to catch up is little, but for the first start after an import or an update: that nobody waits for.
    await Promise.race([startConsumers(modules), systemClock.sleep(consumersMs)]);
    await modules.appservices.prepare();
    runTasks(modules, lifecycle);
    modules.push.delivery.start();
    modules.remoteUsers.fetcher.start();
    modules.serverToServer.start();
    const http = await listen(modules, lifecycle);
    // They answer by requests: only a server that listens has something to say to them.
    if (config.listeners.length > 0) {
      modules.appservices.start();
      modules.remote.partial.start();
      modules.sender.start();
    }
    return await appOf(modules, http.urls, lifecycle);
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

/** Background work of all modules. */
function runTasks(modules: Modules, lifecycle: Lifecycle): void {
  const { config, clock, log, media, metrics, bus, db, rooms, users, sender } = modules;
  const runner = new TaskRunner({ clock, log, onBusy: (name, ms) => metrics.busy(name, ms) });
  lifecycle.onStop('tasks', () => runner.stop());
  runner.add({ name: 'trim the output log', everyMs: minuteMs, run: (signal) => bus.trim(signal) });
  runner.add({ name: 'trim the outbox for other servers', everyMs: minuteMs, run: (signal) => sender.trim(signal) });
  runner.add({ name: 'repeat presence', everyMs: 25 * minuteMs, run: () => sender.repeatPresence() });
  runner.add({
    name: 'forget old transaction ids',
    everyMs: 24 * 60 * minuteMs,
    run: (signal) => pruneTransactions(db, clock, signal),
  });
  runner.add({
    name: 'collect unreferenced state',
    everyMs: 30 * minuteMs,
    run: async () => void (await collectState(db, rooms.stores, clock.now())),
  });
  runner.add({
    name: 'delete originals of redacted events',
    everyMs: 10 * minuteMs,
    run: () => deleteOriginals(db, clock.now() - config.rooms.redactionRetention),
  });
  runner.add({
    name: 'delete what outlived its room’s policy',
    everyMs: 60 * minuteMs,
    run: (signal) => applyRetention({ db, bus, rooms }, config.rooms.retention, clock.now(), signal),
  });
  runner.add({ name: 'forget expired OpenID tokens', everyMs: 60 * minuteMs, run: () => users.openIdTokens.prune(db) });
  runner.add({ name: 'forget received messages', everyMs: 60 * minuteMs, run: () => modules.edus.prune() });
  for (const consumer of modules.consumers) {
    runner.add({ name: `consumer ${consumer.name}`, everyMs: 10 * minuteMs, run: () => consumer.start() });
  }
  runner.add({ name: 'tasks of administrators', everyMs: 60 * minuteMs, run: () => modules.adminTasks.resume() });
  for (const task of [...media.tasks, ...modules.serverToServer.tasks, ...modules.remote.tasks]) runner.add(task);
}

async function listen(modules: Modules, lifecycle: Lifecycle): Promise<{ readonly urls: readonly string[] }> {
  const { config, db, metrics, clock, log, limiter } = modules;
  const { authenticator } = modules.appservices;
  const servers = modules.federation.authenticator;
  const routes = allRoutes(modules);
  const sockets = allSockets(modules);
  const http = await startHttp({ config, routes, sockets, authenticator, servers, limiter, db, metrics, clock, log });
  lifecycle.onStop('http', () => http.stop(graceMs));
  return http;
}

async function appOf(modules: Modules, addresses: readonly string[], lifecycle: Lifecycle): Promise<App> {
  const { config, db, users } = modules;
  const byToken = config.registration.mode === 'token';
  return {
    addresses,
    registrationToken: byToken ? await users.registrationTokens.current(db) : undefined,
    createUser: async ({ localpart, password, admin }) => {
      const wish = { username: localpart, password, isAdmin: admin, inhibitLogin: true };
      return (await users.registration.registerByOperator(wish)).userId;
    },
    repair: (wrong, print) => repairDerived(modules, wrong, print),
    partialRooms: (wish, print) => managePartialRooms(modules, wish, print),
    close: () => lifecycle.stop(),
  };
}
