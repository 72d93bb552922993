/** The built modules, as the composition root holds them; each route file is handed only those that it names. */
import type { Bus } from './bus/index.ts';
import type { Config } from './config/index.ts';
import type { Metrics, RateLimiter } from './http/index.ts';
import type { ServerName } from './matrix/ids.ts';
import type { Media } from './mediaapi/index.ts';
import type { Push } from './push/index.ts';
import type { createRoomCore, Perform } from './roomserver/index.ts';
import type { Database } from './storage/index.ts';
import type { SyncApi } from './syncapi/index.ts';
import type { UserApi } from './userapi/index.ts';
import type { Clock } from './util/clock.ts';
import type { Logger } from './util/log.ts';

export interface Modules {
  readonly config: Config;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limiter: RateLimiter;
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: ReturnType<typeof createRoomCore>;
  readonly users: UserApi;
  readonly media: Media;
  readonly push: Push;
  readonly perform: Perform;
  readonly sync: SyncApi;
}
