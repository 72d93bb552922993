/** Who a request comes from and whether it may come in now: address, token, account, rate limit. */
import type { IncomingMessage } from 'node:http';
import type { BlockList } from 'node:net';
import { trustedProxyList, type Config } from '../config/index.ts';
import { MatrixError, matrixError } from '../matrix/errors.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import { clientAddress, limitedAddress } from './address.ts';
import { checkRequester, type Authenticator, type Query, type ServerAuthenticator } from './auth-kinds.ts';
import { parseSignedBody, readBody } from './body.ts';
import { userAgentOf } from './context.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { AuthKind, RateClass, Requester } from './route.ts';

/** What a row, of HTTP or WebSocket, asks of its requester. */
export interface Demands {
  readonly auth: AuthKind;
  readonly rate: RateClass;
  readonly whileLocked: boolean;
  readonly refuseSuspended: boolean;
}

/** A request that its origin has signed. */
export interface FromServer {
  readonly origin: ServerName;
  readonly body: JsonObject;
  readonly bodyText: string;
}

export class Admission {
  readonly #authenticator: Authenticator;
  readonly #servers: ServerAuthenticator;
  readonly #limiter: RateLimiter;
  readonly #trusted: BlockList;

  constructor(
    parts: {
      readonly authenticator: Authenticator;
      readonly servers: ServerAuthenticator;
      readonly limiter: RateLimiter;
    },
    config: Pick<Config, 'trustedProxies'>,
  ) {
    this.#authenticator = parts.authenticator;
    this.#servers = parts.servers;
    this.#limiter = parts.limiter;
    this.#trusted = trustedProxyList(config);
  }

  /** The client's address, behind trusted proxies too. */
  addressOf(request: IncomingMessage): string {
    const forwarded = request.headers['x-forwarded-for'];
    const hops = typeof forwarded === 'string' ? forwarded : forwarded?.join(',');
    return clientAddress(request.socket.remoteAddress, hops, this.#trusted);
  }

  /** The requester, when there is one and it may do this now. @throws MatrixError */
  async admit(
    demands: Demands,
    token: string | undefined,
    query: Query,
    request: IncomingMessage,
    address: string,
  ): Promise<Requester | undefined> {
    if (demands.auth === 'none' && token !== undefined && this.#authenticator.isService?.(token) === true) {
      return undefined;
    }
    const requester = await this.#requester(demands, token, query, request, address);
    this.#limiter.demandFor(demands.rate, requester, address);
    return requester;
  }

  /**
   * The server that has signed a request, and the body that its signature covers: at most `maxBody` bytes.
   * @throws MatrixError M_UNAUTHORIZED, M_FORBIDDEN, M_LIMIT_EXCEEDED, M_TOO_LARGE, M_NOT_JSON
   */
  async admitServer(rate: RateClass, request: IncomingMessage, address: string, maxBody: number): Promise<FromServer> {
    try {
      const claim = this.#servers.claim(request.headersDistinct['authorization'] ?? []);
      const { content, body, text } = parseSignedBody(await readBody(request, maxBody));
      await claim.verify({ method: request.method ?? 'GET', uri: request.url ?? '/', content });
      if (rate !== 'none') this.#limiter.demand(rate, `server:${claim.origin}`);
      return { origin: claim.origin, body, bodyText: text };
    } catch (error) {
      // Requests that nobody has signed cost the address its share.
      if (error instanceof MatrixError && error.status === 401)
        this.#limiter.demand('federation', `address:${limitedAddress(address)}`);
      throw error;
    }
  }

  async #requester(
    { auth, whileLocked, refuseSuspended }: Demands,
    token: string | undefined,
    query: Query,
    request: IncomingMessage,
    address: string,
  ): Promise<Requester | undefined> {
    if (auth === 'none') return undefined;
    if (auth === 'server') throw matrixError.unauthorized();
    if (token === undefined) {
      if (auth === 'optional') return undefined;
      throw matrixError.missingToken();
    }
    try {
      const userAgent = userAgentOf(request);
      const requester = await this.#authenticator.authenticate(token, { query, address, userAgent, whileLocked });
      checkRequester(auth, requester, refuseSuspended);
      return requester;
    } catch (error) {
      // Guessing tokens costs the address its share of requests.
      if (error instanceof MatrixError && error.status === 401) {
        this.#limiter.demand('read', `address:${limitedAddress(address)}`);
      }
      throw error;
    }
  }
}
