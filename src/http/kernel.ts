/**
 * The one middleware that serves every row: request id, CORS, route, size limits, token, rate limit, body, validation,
 * transaction id, handler, durability, reply (DESIGN §9). Handlers see checked values; what they throw becomes an error
 * reply here and nowhere else.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { matrixError } from '../matrix/errors.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import type { Admission, FromServer } from './admission.ts';
import { accessTokenOf, type Query } from './auth-kinds.ts';
import { ClientGone, parseBody, readBody } from './body.ts';
import { Context, OpenSignals, splitUrl, userAgentOf } from './context.ts';
import { errorReply } from './errors.ts';
import { Idempotency } from './idempotency.ts';
import { asReply, sendReply } from './reply.ts';
import { Reply, type Requester, type Resource, type Route } from './route.ts';
import { OriginGate } from './origin-gate.ts';
import { RouteTrie, type Match } from './trie.ts';
import { validate } from './validate.ts';

/** Is told of every answered request; `route` is the row's path, never the request's own. */
export interface RequestObserver {
  request(method: string, route: string, status: number, ms: number): void;
  /** The part of a handler that ran before its first await: what may have held the event loop. */
  busy(route: string, ms: number): void;
}

export interface KernelOptions {
  readonly routes: readonly Route[];
  readonly db: Database;
  readonly admission: Admission;
  /** Largest JSON body of a row that names none, in bytes. */
  readonly maxBody: number;
  /** Requests of one other server that are worked on at a time. */
  readonly perServer: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observer?: RequestObserver;
}

/** One request on its way through the kernel. */
interface Exchange {
  readonly id: string;
  readonly method: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly address: string;
  route: Route | undefined;
}

const anonymousMaxBody = 64 * 1024;
const unmatched = 'unmatched';

export class Kernel {
  readonly #options: KernelOptions;
  readonly #idempotency: Idempotency;
  readonly #open = new OpenSignals();
  readonly #origins: OriginGate;
  readonly #idPrefix = randomBytes(3).toString('base64url');
  #count = 0;
  #active = 0;
  #stopping = false;
  #idle: (() => void) | undefined;

  /** @throws Error when two rows serve the same method and path */
  constructor(options: KernelOptions) {
    this.#options = options;
    this.#idempotency = new Idempotency(options.db, options.clock);
    this.#origins = new OriginGate(options.perServer);
    this.table(['client', 'federation', 'admin', 'metrics']);
  }

  /** Requests being answered. */
  get active(): number {
    return this.#active;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** The route table of a listener that serves `resources`. */
  table(resources: readonly Resource[]): RouteTrie<Route> {
    const trie = new RouteTrie<Route>();
    for (const row of this.#options.routes) {
      if (!row.resources.some((resource) => resources.includes(resource))) continue;
      const names = [...row.path.matchAll(/\/:(\w+)/g)].map(([, name = '']) => name);
      for (const path of pathsOf(row)) trie.add(row.method, path, row, names);
    }
    return trie;
  }

  /** Signals that are aborted when the server stops. */
  get openSignals(): OpenSignals {
    return this.#open;
  }

  /** Wakes what is parked (it answers with what it has) and refuses what comes now; resolves when nothing is left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#open.abortAll();
    if (this.#active > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  /** Answers one request. Never rejects. */
  async handle(table: RouteTrie<Route>, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const exchange = this.#begin(request, response);
    this.#active += 1;
    try {
      const reply = await this.#answer(table, exchange);
      if (reply !== undefined) {
        await sendReply(response, reply, request.method === 'HEAD', this.#stopping);
        this.#observe(exchange, reply.status, performance.now() - started);
      }
    } catch (error) {
      this.#options.log.error({ request: exchange.id, err: error }, 'an answer could not be written');
      response.destroy();
    } finally {
      this.#active -= 1;
      if (this.#active === 0) this.#idle?.();
    }
  }

  #begin(request: IncomingMessage, response: ServerResponse): Exchange {
    this.#count += 1;
    return {
      id: `${this.#idPrefix}-${this.#count.toString(36)}`,
      method: request.method === 'HEAD' ? 'GET' : (request.method ?? 'GET'),
      request,
      response,
      address: this.#options.admission.addressOf(request),
      route: undefined,
    };
  }

  /** The reply; undefined when nobody is left to be answered. */
  async #answer(table: RouteTrie<Route>, exchange: Exchange): Promise<Reply | undefined> {
    // Pre-flight requests run nothing of the endpoint (C-S API §Web Browser Clients).
    if (exchange.method === 'OPTIONS') return new Reply(200, {}, { 'Access-Control-Max-Age': '86400' });
    if (this.#stopping)
      return new Reply(503, matrixError.unknown('The server is stopping').toJSON(), { 'Retry-After': '2' });
    try {
      const { path, query } = splitUrl(exchange.request);
      const match = find(table, exchange.method, path);
      exchange.route = match.value;
      return await this.#serve(match, query, exchange);
    } catch (error) {
      if (error instanceof ClientGone || exchange.response.destroyed) return undefined;
      return errorReply(error, exchange.id, this.#options.log);
    }
  }

  async #serve(match: Match<Route>, query: Query, exchange: Exchange): Promise<Reply> {
    const { request, address } = exchange;
    const { value: route } = match;
    if (route.auth !== 'server') return this.#admitted(match, query, exchange, undefined);
    const server = await this.#fromServer(route, request, address);
    return this.#origins.run(server.origin, () => this.#admitted(match, query, exchange, server));
  }

  async #admitted(
    { value: route, params }: Match<Route>,
    query: Query,
    exchange: Exchange,
    server: FromServer | undefined,
  ): Promise<Reply> {
    const { request, response, address } = exchange;
    const accessToken = server === undefined ? accessTokenOf(request, query) : undefined;
    const requester =
      server === undefined
        ? await this.#options.admission.admit(route, accessToken, query, request, address)
        : undefined;
    const body = route.body === undefined ? undefined : (server?.body ?? (await this.#body(route, request)));
    const context = new Context(
      {
        requester,
        origin: server?.origin,
        params: validate(route.params, params, 'path'),
        query: validate(route.query, query, 'query'),
        body: validate(route.body, body, 'body'),
        address,
        userAgent: userAgentOf(request),
        accessToken,
        bodyText: server?.bodyText ?? '',
        request,
      },
      this.#options.db,
      this.#open,
      (listener) => response.once('close', () => response.writableEnded || listener()),
    );
    try {
      const value = await this.#run(route, params, requester, context);
      await context.shown.durable();
      return asReply(value);
    } finally {
      context.end();
    }
  }

  async #body(route: Route, request: IncomingMessage): Promise<unknown> {
    const limit = route.maxBody ?? (route.auth === 'none' ? anonymousMaxBody : this.#options.maxBody);
    return parseBody(await readBody(request, limit), route.canonicalBody);
  }

  #fromServer(route: Route, request: IncomingMessage, address: string): Promise<FromServer> {
    const { admission, maxBody } = this.#options;
    return admission.admitServer(route.rate, request, address, route.maxBody ?? maxBody);
  }

  #run(
    route: Route,
    params: Readonly<Record<string, string>>,
    requester: Requester | undefined,
    context: Context,
  ): Promise<unknown> {
    if (route.transaction === undefined || requester === undefined) return this.#call(route, context);
    return this.#idempotency.run(route, params, requester, context.shown, (record) => {
      context.transaction = record;
      // Whoever joins this request answers with its value: that is on disk by then.
      return this.#call(route, context).then((value) => context.shown.durable().then(() => value));
    });
  }

  async #call(route: Route, context: Context): Promise<unknown> {
    const { observer } = this.#options;
    if (observer === undefined) return route.handle(context);
    const started = performance.now();
    const value = route.handle(context);
    observer.busy(route.path, performance.now() - started);
    return value;
  }

  #observe({ id, method, route, address }: Exchange, status: number, ms: number): void {
    const path = route?.path ?? unmatched;
    this.#options.observer?.request(method, path, status, ms);
    this.#options.log.debug({ request: id, method, path, status, ms: Math.round(ms * 10) / 10, address }, 'answered');
  }
}

/** @throws MatrixError M_UNRECOGNIZED (404, 405), M_INVALID_PARAM */
export function find(table: RouteTrie<Route>, method: string, path: string): Match<Route> {
  const found = table.find(method, path);
  switch (found.kind) {
    case 'match':
      return found;
    case 'other-method':
      throw matrixError.methodNotAllowed();
    case 'unknown':
      throw matrixError.unrecognized();
    case 'malformed':
      throw matrixError.invalidParam('The path holds a percent escape that is not UTF-8');
  }
}

/** Every path of a row; the specification's `v3` paths are those that were `r0` before. */
export function pathsOf(row: { readonly path: string; readonly aliases: readonly string[] }): Set<string> {
  const paths = new Set([row.path, ...row.aliases]);
  for (const path of [...paths]) {
    if (/^\/_matrix\/(client|media)\/v3\//.test(path)) paths.add(path.replace('/v3/', '/r0/'));
  }
  return paths;
}
