/**
 * The modules, built from left to right (DESIGN §2), each handed the few others that it uses. Each route file is handed
 * only those that it names.
 */
import type { AdminTasks } from './admin/index.ts';
import type { Config } from './config/index.ts';
import { buildAdminTasks, buildDeeds, type DeedModules } from './modules/deeds.ts';
import { openGround, type Ground } from './modules/ground.ts';
import { buildReading, buildTraffic, type ReadingModules, type TrafficModules } from './modules/outlets.ts';
import { buildRooms, type RoomModules } from './modules/rooms.ts';
import { buildUsers, type UserModules } from './modules/users.ts';
import type { Clock } from './util/clock.ts';
import type { Lifecycle } from './util/lifecycle.ts';
import type { Logger } from './util/log.ts';

export interface Modules extends Ground, RoomModules, UserModules, DeedModules, ReadingModules, TrafficModules {
  readonly adminTasks: AdminTasks;
}

/** Opens the database of the data folder and builds every module over it; `lifecycle` learns how to stop them. */
export function buildModules(config: Config, clock: Clock, log: Logger, lifecycle: Lifecycle): Modules {
  const site = openGround(config, clock, log, lifecycle);
  const rooms = buildRooms(site);
  const users = buildUsers(site, rooms);
  const deeds = buildDeeds(site, rooms, users);
  const reading = buildReading(site, rooms, users);
  const traffic = buildTraffic(site, rooms, users, deeds);
  const adminTasks = buildAdminTasks(site, rooms, users, deeds);
  return { ...site, ...rooms, ...users, ...deeds, ...reading, ...traffic, adminTasks };
}

/** Lets the lagging consumers go on where they were; resolves when all have caught up. */
export async function startConsumers({ consumers, log }: Modules): Promise<void> {
  const starts = await Promise.allSettled(consumers.map((consumer) => consumer.start()));
  for (const start of starts) {
    if (start.status === 'rejected') log.warn({ err: start.reason as unknown }, 'a consumer of the log did not start');
  }
}
