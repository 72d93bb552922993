/** What every module stands on: the data folder with its database and key, the bus, what is counted, who may ask how often. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadServices } from '../appservice/index.ts';
import { Bus } from '../bus/index.ts';
import { mailOptions, type Config } from '../config/index.ts';
import { loadSigningKey, type SigningKey } from '../fedclient/index.ts';
import { Metrics, RateLimiter } from '../http/index.ts';
import type { ServerName } from '../matrix/ids.ts';
import { openDatabase, type Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Lifecycle } from '../util/lifecycle.ts';
import type { Logger } from '../util/log.ts';
import { LoopWatch } from '../util/loop-watch.ts';
import { createMailer, type Mailer } from '../util/mailer.ts';
import { migrationsFolder } from '../util/package-files.ts';

export interface Ground {
  readonly config: Config;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limiter: RateLimiter;
  readonly db: Database;
  readonly bus: Bus;
  /** Undefined: the operator has set no mail server. */
  readonly mailer: Mailer | undefined;
}

/** What only the building of modules needs besides. */
export interface Site extends Ground {
  /** Learns how to stop what is built. */
  readonly lifecycle: Lifecycle;
  readonly signingKey: SigningKey;
  /** The application services of the configuration. */
  readonly services: ReturnType<typeof loadServices>;
}

/** Opens the data folder, which is made when there is none. */
export function openGround(config: Config, clock: Clock, log: Logger, lifecycle: Lifecycle): Site {
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
  const limiter = new RateLimiter(config.rateLimits, clock);
  return { config, serverName, clock, log, metrics, limiter, db, bus, mailer, lifecycle, signingKey, services };
}

/** Where the database of a data folder is, and the migrations that make its schema. */
export const databaseFiles = (folder: string): { readonly path: string; readonly migrations: string } => ({
  path: join(folder, 'neurite.db'),
  migrations: migrationsFolder,
});

function openDb(folder: string, config: Config, log: Logger): Database {
  return openDatabase({
    ...databaseFiles(folder),
    cacheKib: Math.round(config.storage.cacheSize / 1024),
    log: log.child({ module: 'storage' }),
    onFatal: (error) => {
      log.fatal({ err: error }, 'the disk refused what was written: the server ends so that nothing is lost');
      process.exit(1);
    },
  });
}
