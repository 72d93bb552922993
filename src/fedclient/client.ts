/**
 * Signed HTTPS requests to other servers (S-S API v1.19): each server has a pool of connections that are kept and used
 * again; every request is bounded in time, every answer in size; failures are values. Whether a server answers is told
 * to `Destinations`, and who failed lately is left alone.
 */
import type { Dispatcher, Pool } from 'undici';
import type { ServerRoute } from '../matrix/discovery.ts';
import type { ServerName } from '../matrix/ids.ts';
import { undici } from '../util/lazy.ts';
import type { Logger } from '../util/log.ts';
import { LruCache } from '../util/lru.ts';
import { err, type Result } from '../util/result.ts';
import type { Connector } from './connector.ts';
import type { Destinations } from './destinations.ts';
import { Exchange, isBrokenConnection, type FederationAnswer, type FederationRequest } from './exchange.ts';
import { describeFault, type FederationFault } from './fault.ts';
import { httpsGet } from './https-get.ts';
import type { ServerResolver } from './resolver.ts';
import type { ServerFilter } from './server-filter.ts';
import type { SigningKey } from './signing-key.ts';

export interface ClientParts {
  readonly serverName: ServerName;
  readonly signingKey: SigningKey;
  readonly resolver: ServerResolver;
  readonly connector: Connector;
  readonly destinations: Destinations;
  readonly filter: ServerFilter;
  readonly userAgent: string;
  readonly log: Logger;
}

interface Line {
  readonly route: ServerRoute;
  readonly key: string;
  readonly pool: Pool;
}

/** Silence in the middle of an answer. */
const idleMs = 30_000;
const connectionsPerServer = 6;
/** More than are asked at a time; those of servers that were asked longest ago close their connections. */
const mostPools = 200;
/** ms; whoever is asked in a burst is asked over the same connections, and thousands of servers hold none for long. */
const keepAliveMs = 10_000;

export class FederationClient implements AsyncDisposable {
  readonly #parts: ClientParts;
  readonly #closing = new Set<Promise<void>>();
  readonly #lines = new LruCache<ServerName, Line>({
    max: mostPools,
    dispose: ({ pool }) => this.#retire(pool),
  });
  readonly #stopping = new AbortController();

  constructor(parts: ClientParts) {
    this.#parts = parts;
  }

  /** Servers with a pool of connections (which may all be closed). */
  get pools(): number {
    return this.#lines.size;
  }

  /**
   * Sends a request and hands the answer to `read`, which must read the body to its end or leave it; what `read` throws
   * is a fault of the answer. The promise never rejects.
   */
  async exchange<T>(
    server: ServerName,
    request: FederationRequest,
    read: (answer: FederationAnswer) => Promise<T> | T,
  ): Promise<Result<T, FederationFault>> {
    const refusal = this.#refusal(server, request);
    if (refusal !== undefined) return err(refusal);
    const exchange = new Exchange(request, this.#stopping.signal);
    try {
      const result = await this.#attempt(server, exchange, read);
      if (!result.ok)
        this.#parts.log.debug({ server, path: exchange.label, fault: describeFault(result.error) }, 'failed');
      return result;
    } finally {
      exchange.end();
    }
  }

  /** As `exchange`, for an unsigned GET of an https address that another server has named. */
  async fetchUrl<T>(
    url: string,
    request: Pick<FederationRequest, 'timeoutMs' | 'maxBytes' | 'signal'>,
    read: (answer: FederationAnswer) => Promise<T> | T,
  ): Promise<Result<T, FederationFault>> {
    if (!URL.canParse(url)) return err({ kind: 'bad-reply', message: 'the address is none' });
    const exchange = new Exchange({ ...request, method: 'GET', path: '' }, this.#stopping.signal);
    const { connector, userAgent } = this.#parts;
    const options = { signal: exchange.signal, userAgent, idleMs };
    try {
      return await httpsGet(connector, new URL(url), options, (data) => exchange.take(data, read));
    } catch (error) {
      return err(exchange.faultOf(error));
    } finally {
      exchange.end();
    }
  }

  /** Closes all connections; requests under way end as aborted. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#lines.clear();
    await Promise.all(this.#closing);
  }

  #refusal(server: ServerName, request: FederationRequest): FederationFault | undefined {
    const { serverName, filter, destinations } = this.#parts;
    if (server === serverName) return { kind: 'denied', message: 'this is our own name' };
    if (!filter.permits(server)) return { kind: 'denied', message: 'the configuration forbids this server' };
    if (this.#stopping.signal.aborted) return { kind: 'aborted', message: 'the server stops' };
    const retryAtMs = request.ignoreBackoff === true ? 0 : destinations.retryAt(server);
    if (retryAtMs > 0) return { kind: 'backing-off', message: 'the server did not answer lately', retryAtMs };
    return undefined;
  }

  async #attempt<T>(
    server: ServerName,
    exchange: Exchange,
    read: (answer: FederationAnswer) => Promise<T> | T,
  ): Promise<Result<T, FederationFault>> {
    let line: Line | undefined;
    try {
      line = await exchange.within(this.#line(server));
      // Others may have pushed the pool out just now.
      if (line.pool.closed) line = await exchange.within(this.#line(server));
      const data = await this.#request(server, line, exchange);
      if (exchange.failsOn(data.statusCode)) this.#parts.destinations.failed(server, `http ${data.statusCode}`);
      else this.#parts.destinations.succeeded(server);
      return await exchange.take(data, read);
    } catch (error) {
      const fault = exchange.faultOf(error);
      if (fault.kind !== 'aborted') {
        this.#parts.resolver.suspect(server, line?.route);
        this.#parts.destinations.failed(server, fault.message);
      }
      return err(fault);
    }
  }

  /** A connection that was kept may be closed by the other side just now: what may be repeated is sent once more. */
  async #request(server: ServerName, line: Line, exchange: Exchange): Promise<Dispatcher.ResponseData> {
    const { serverName, signingKey, userAgent } = this.#parts;
    const options = exchange.options(line.route, { serverName, server, signingKey, userAgent });
    try {
      return await line.pool.request(options);
    } catch (error) {
      if (!exchange.mayRepeat || !isBrokenConnection(error) || exchange.signal.aborted) throw error;
      return line.pool.request(options);
    }
  }

  /** The server's pool; a new one when discovery leads somewhere else than before. */
  async #line(server: ServerName): Promise<Line> {
    const { resolver, connector } = this.#parts;
    const route = await resolver.resolve(server);
    const key = JSON.stringify([route.hostHeader, route.tlsName, endpointsOf(route)]);
    const known = this.#lines.get(server);
    if (known?.key === key) return known;
    const pool = new (undici().Pool)(`https://${route.hostHeader}`, {
      connect: connector.dialling(route),
      connections: connectionsPerServer,
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      bodyTimeout: idleMs,
      headersTimeout: 0,
    });
    const line = { route, key, pool };
    this.#lines.set(server, line);
    return line;
  }

  #retire(pool: Pool): void {
    const ending = this.#stopping.signal.aborted ? pool.destroy() : pool.close();
    const closing: Promise<void> = ending.catch(() => undefined).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}

const endpointsOf = ({ endpoints }: ServerRoute): string[] =>
  endpoints.map(({ host, port }) => `${host} ${port}`).sort();
