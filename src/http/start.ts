/** Puts the parts of the HTTP layer together: what the composition root and the tests call. */
import type { Config } from '../config/index.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { Admission } from './admission.ts';
import type { Authenticator, ServerAuthenticator } from './auth-kinds.ts';
import { healthRoute } from './health.ts';
import { Kernel } from './kernel.ts';
import type { Metrics } from './metrics.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { Route } from './route.ts';
import { HttpServer } from './server.ts';
import { SocketGate, type SocketRow } from './socket.ts';

export interface StartHttpOptions {
  readonly config: Pick<Config, 'listeners' | 'limits' | 'trustedProxies'>;
  readonly routes: readonly Route[];
  readonly sockets: readonly SocketRow[];
  readonly authenticator: Authenticator;
  /** Of other servers. */
  readonly servers: ServerAuthenticator;
  /** Shared with modules that limit by more than the request (an account that is logged in to). */
  readonly limiter: RateLimiter;
  readonly db: Database;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Serves all rows, and `/health` and `/metrics`, on all listeners. @throws Error when rows clash or an address is taken */
export async function startHttp(options: StartHttpOptions): Promise<HttpServer> {
  const { config, db, clock, metrics } = options;
  const log = options.log.child({ module: 'http' });
  const admission = new Admission(options, config);
  const kernel = new Kernel({
    routes: [...options.routes, healthRoute(db), metrics.route],
    db,
    admission,
    maxBody: config.limits.requestBody,
    perServer: config.limits.serverRequests,
    clock,
    log,
    observer: metrics,
  });
  const sockets = new SocketGate({ rows: options.sockets, admission, openSignals: kernel.openSignals, log });
  metrics.add([
    { name: 'neurite_http_active', help: 'Requests being answered', kind: 'gauge', read: () => kernel.active },
    { name: 'neurite_sockets', help: 'Open WebSocket connections', kind: 'gauge', read: () => sockets.size },
    { name: 'neurite_rate_buckets', help: 'Rate limit buckets', kind: 'gauge', read: () => options.limiter.size },
  ]);
  if (config.listeners.some(({ resources }) => resources.includes('metrics'))) await metrics.load();
  return HttpServer.start({ kernel, sockets, listeners: config.listeners, log });
}
