/**
 * Signed HTTPS requests to other servers (S-S API v1.19): each server has a pool of connections that are kept and used
 * again; every request is bounded in time, every answer in size; failures are values. Whether a server answers is told
 * to `Destinations`, and who failed lately is left alone.
 */
import { LRUCache } from 'lru-cache';
import { Pool, type Dispatcher } from 'undici';
import type { ServerRoute } from '../matrix/discovery.ts';
import type { ServerName } from '../matrix/ids.ts';
import { asInteger, asString, isJsonObject, memberOf, parseJson, parseLosslessJson } from '../matrix/json.ts';
import type { JsonObject } from '../matrix/json.ts';
import { requestContent, signRequest } from '../matrix/xmatrix.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Connector } from './connector.ts';
import type { Destinations } from './destinations.ts';
import { describeFault, type FederationFault } from './fault.ts';
import type { ServerResolver } from './resolver.ts';
import type { ServerFilter } from './server-filter.ts';
import type { SigningKey } from './signing-key.ts';

export interface FederationRequest {
  readonly method: 'GET' | 'PUT' | 'POST';
  /** From `/_matrix/` on, each segment percent-encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, Query>>;
  /** An object, or its JSON text (of an event, of a transaction that must be the same each time). */
  readonly body?: JsonObject | string;
  /** For the whole exchange in ms; default 30 s. */
  readonly timeoutMs?: number;
  /** Largest answer in bytes; default 10 MiB. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
  /** false: without X-Matrix, for the endpoints that anyone may ask. */
  readonly signed?: boolean;
  /** Ask even a server that is being left alone (the caller keeps pauses of its own). */
  readonly ignoreBackoff?: boolean;
  /** Which status means that the server does not work at all; default 502, 503, 504. */
  readonly failsOn?: (status: number) => boolean;
}

type Query = string | number | boolean | readonly string[] | undefined;

/** A 2xx answer whose body is still to be read. */
export interface FederationAnswer {
  readonly status: number;
  /** A header's text; several of one name are joined. */
  header(name: string): string | undefined;
  /** Pieces of the body; throws `AnswerTooLarge` beyond the limit, and what the network throws. */
  readonly body: AsyncIterable<Buffer>;
}

/** The body is larger than the request allows. */
export class AnswerTooLarge extends Error {
  override readonly name = 'AnswerTooLarge';
}

export interface ClientParts {
  readonly serverName: ServerName;
  readonly signingKey: SigningKey;
  readonly resolver: ServerResolver;
  readonly connector: Connector;
  readonly destinations: Destinations;
  readonly filter: ServerFilter;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Line {
  readonly route: ServerRoute;
  readonly key: string;
  readonly pool: Pool;
}

const defaultTimeoutMs = 30_000;
const defaultMaxBytes = 10 * 1024 * 1024;
const maxErrorBytes = 64 * 1024;
/** Silence in the middle of an answer. */
const idleMs = 30_000;
const connectionsPerServer = 6;
const mostPools = 5000;
const badGateway = (status: number): boolean => status >= 502 && status <= 504;

export class FederationClient implements AsyncDisposable {
  readonly #parts: ClientParts;
  readonly #closing = new Set<Promise<void>>();
  readonly #lines = new LRUCache<ServerName, Line>({
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
    const exchange = new Exchange(request, this.#stopping.signal, this.#parts.clock);
    try {
      const result = await this.#attempt(server, exchange, read);
      if (!result.ok) this.#parts.log.debug({ server, path: exchange.label, fault: describeFault(result.error) }, 'failed');
      return result;
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
      const data = await this.#request(server, line, exchange);
      return await this.#answered(server, exchange, data, read);
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
      return await line.pool.request(options);
    }
  }

  async #answered<T>(
    server: ServerName,
    exchange: Exchange,
    { statusCode: status, headers, body }: Dispatcher.ResponseData,
    read: (answer: FederationAnswer) => Promise<T> | T,
  ): Promise<Result<T, FederationFault>> {
    const header = (name: string): string | undefined => {
      const value = headers[name.toLowerCase()];
      return typeof value === 'string' ? value : value?.join(', ');
    };
    // An answer that is left early must not keep its connection, nor its late errors go unheard.
    body.on('error', () => undefined);
    try {
      const bad = status < 200 || status > 299;
      if (exchange.failsOn(status)) this.#parts.destinations.failed(server, `http ${status}`);
      else this.#parts.destinations.succeeded(server);
      if (bad) return err(await errorOf(status, header('retry-after'), body));
      const value = await read({ status, header, body: limited(body, exchange.maxBytes, header('content-length')) });
      return ok(value);
    } catch (error) {
      return err(exchange.faultOfReading(error));
    } finally {
      if (!body.readableEnded) body.destroy();
    }
  }

  /** The server's pool; a new one when discovery leads somewhere else than before. */
  async #line(server: ServerName): Promise<Line> {
    const { resolver, connector } = this.#parts;
    const route = await resolver.resolve(server);
    const key = JSON.stringify([route.hostHeader, route.tlsName, endpointsOf(route)]);
    const known = this.#lines.get(server);
    if (known?.key === key) return known;
    const pool = new Pool(`https://${route.hostHeader}`, {
      connect: (_options, callback) =>
        void connector.connect(route).then(
          (socket) => callback(null, socket),
          (error: Error) => callback(error, null),
        ),
      connections: connectionsPerServer,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      keepAliveMaxTimeout: 120_000,
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

const endpointsOf = ({ endpoints }: ServerRoute): string[] => endpoints.map(({ host, port }) => `${host} ${port}`).sort();

interface Identity {
  readonly serverName: ServerName;
  readonly server: ServerName;
  readonly signingKey: SigningKey;
  readonly userAgent: string;
}

/** One request under way: its target, its text, its time. */
class Exchange {
  readonly #request: FederationRequest;
  readonly #clock: Clock;
  readonly #deadline = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #stopping: AbortSignal;
  readonly signal: AbortSignal;
  readonly uri: string;
  /** The body as it is sent: canonical JSON, which is also what is signed. */
  readonly content: string | undefined;

  constructor(request: FederationRequest, stopping: AbortSignal, clock: Clock) {
    this.#request = request;
    this.#clock = clock;
    this.#stopping = stopping;
    this.uri = request.path + queryText(request.query);
    this.content = contentOf(request.body);
    this.#timer = setTimeout(() => this.#deadline.abort(), request.timeoutMs ?? defaultTimeoutMs);
    const signals = [this.#deadline.signal, stopping];
    this.signal = AbortSignal.any(request.signal === undefined ? signals : [...signals, request.signal]);
  }

  get label(): string {
    return this.#request.path.slice(0, 200);
  }

  get maxBytes(): number {
    return this.#request.maxBytes ?? defaultMaxBytes;
  }

  /** POST requests between servers ask; only claiming keys uses something up. */
  get mayRepeat(): boolean {
    return this.#request.method !== 'POST' || !this.#request.path.endsWith('/keys/claim');
  }

  failsOn(status: number): boolean {
    return (this.#request.failsOn ?? badGateway)(status);
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  /** `work`, or a rejection when time is up before. */
  within<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const abort = (): void => reject(new Error('aborted'));
      if (this.signal.aborted) return abort();
      this.signal.addEventListener('abort', abort, { once: true });
      work.then(resolve, reject).finally(() => this.signal.removeEventListener('abort', abort));
    });
  }

  options(
    route: ServerRoute,
    { serverName, server, signingKey, userAgent }: Identity,
  ): { path: string } & Dispatcher.RequestOptions {
    const { method } = this.#request;
    const { uri, content } = this;
    const signed = { method, uri, origin: serverName, destination: server, content };
    return {
      method,
      path: uri,
      headers: {
        host: route.hostHeader,
        'user-agent': userAgent,
        accept: '*/*',
        ...(content === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#request.signed === false
          ? {}
          : { authorization: signRequest(signed, signingKey.keyId, signingKey.key) }),
      },
      ...(content === undefined ? {} : { body: Buffer.from(content, 'utf8') }),
      signal: this.signal,
    };
  }

  faultOf(error: unknown): FederationFault {
    if (this.#request.signal?.aborted === true || this.#stopping.aborted)
      return { kind: 'aborted', message: 'nobody waits for the answer any more' };
    if (this.#deadline.signal.aborted) return { kind: 'timeout', message: 'no answer in time' };
    if (codeOf(error) === 'UND_ERR_BODY_TIMEOUT') return { kind: 'timeout', message: 'silence in the middle' };
    return { kind: 'unreachable', message: messageOf(error) };
  }

  /** Of an error while the body was read: the network's, or the reader's own. */
  faultOfReading(error: unknown): FederationFault {
    const fault = this.faultOf(error);
    return fault.kind === 'unreachable' && !isBrokenConnection(error)
      ? { kind: 'bad-reply', message: messageOf(error) }
      : fault;
  }

  now(): number {
    return this.#clock.now();
  }
}

function queryText(query: FederationRequest['query']): string {
  if (query === undefined) return '';
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const item of typeof value === 'object' ? value : [value]) parts.append(name, String(item));
  }
  // A space as %20: some servers read a plus as one.
  const text = parts.toString().replaceAll('+', '%20');
  return text === '' ? '' : `?${text}`;
}

function contentOf(body: FederationRequest['body']): string | undefined {
  if (body === undefined) return undefined;
  const value = typeof body === 'string' ? parseLosslessJson(body) : body;
  if (!isJsonObject(value)) throw new TypeError('the body of a request is a JSON object');
  return requestContent(value);
}

async function errorOf(
  status: number,
  retryAfter: string | undefined,
  body: AsyncIterable<Buffer>,
): Promise<FederationFault> {
  let text = '';
  try {
    text = (await bytesOf(limited(body, maxErrorBytes, undefined))).toString('utf8');
  } catch {
    // The status alone has to do.
  }
  const parsed = parseJson(text);
  const json = isJsonObject(parsed) ? parsed : {};
  const seconds = /^\d{1,9}$/.test(retryAfter ?? '') ? Number(retryAfter) * 1000 : undefined;
  return {
    kind: 'http',
    status,
    errcode: asString(memberOf(json, 'errcode')) ?? 'M_UNKNOWN',
    message: (asString(memberOf(json, 'error')) ?? `HTTP ${status}`).slice(0, 500),
    body: json,
    retryAfterMs: asInteger(memberOf(json, 'retry_after_ms')) ?? seconds,
  };
}

async function* limited(body: AsyncIterable<Buffer>, max: number, announced: string | undefined): AsyncGenerator<Buffer> {
  const tooLarge = (): AnswerTooLarge => new AnswerTooLarge(`the answer is larger than ${max} bytes`);
  if (Number(announced ?? 0) > max) throw tooLarge();
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > max) throw tooLarge();
    yield piece;
  }
}

/** The whole of a bounded body. */
export async function bytesOf(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException).code ?? '');
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300);
const isBrokenConnection = (error: unknown): boolean =>
  ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNABORTED', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED'].includes(
    codeOf(error),
  ) || codeOf(error).startsWith('HPE_');
