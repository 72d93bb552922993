/** Who may call a row: access tokens (C-S API v1.19 §Client Authentication) and what each auth kind asks of them. */
import type { IncomingMessage } from 'node:http';
import { matrixError } from '../matrix/errors.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { JsonValue } from '../matrix/json.ts';
import type { AuthKind, Requester } from './route.ts';

export type Query = Readonly<Record<string, string | readonly string[]>>;

/** What an authenticator may need besides the token. */
export interface AuthRequest {
  /** For `user_id` and `device_id` of application services (A-S API §Identity assertion). */
  readonly query: Query;
  readonly address: string;
  readonly userAgent: string;
  /** The row stays open to locked and softly logged-out accounts. */
  readonly whileLocked: boolean;
}

/** Tells whose a token is; the accounts module implements it. */
export interface Authenticator {
  /** @throws MatrixError M_UNKNOWN_TOKEN, M_USER_LOCKED, M_USER_DEACTIVATED … */
  authenticate(token: string, request: AuthRequest): Requester | Promise<Requester>;
  /** The token is an application service's own: what anyone may ask is not limited by its address. */
  isService?(token: string): boolean;
}

/** A request of another server, as its signature covers it. */
export interface ServerRequest {
  readonly method: string;
  /** The request target as it came, byte for byte. */
  readonly uri: string;
  /** The body, numbers with their source text (`parseLosslessJson`); undefined without one. */
  readonly content: JsonValue | undefined;
}

/** Who a request says it is from. */
export interface ServerClaim {
  readonly origin: ServerName;
  /** Resolves when the request is signed by its origin. @throws MatrixError M_UNAUTHORIZED */
  verify(request: ServerRequest): Promise<void>;
}

/** Tells which server a request is from (S-S API §Request Authentication); the federation client implements it. */
export interface ServerAuthenticator {
  /** Looks at all `Authorization` headers, before the body is read. @throws MatrixError M_UNAUTHORIZED, M_FORBIDDEN */
  claim(authorization: readonly string[]): ServerClaim;
}

/** The token of a request: the `Authorization` header, else the deprecated `access_token` of the query. */
export function accessTokenOf(request: IncomingMessage, query: Query): string | undefined {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const token = /^Bearer +(\S+) *$/i.exec(header)?.[1];
    if (token !== undefined) return token;
  }
  const value = query['access_token'];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** What a row asks of its requester beyond a valid token. @throws MatrixError */
export function checkRequester(kind: AuthKind, requester: Requester, refuseSuspended: boolean): void {
  if ((kind === 'user' || kind === 'admin') && requester.isGuest) throw matrixError.guestAccessForbidden();
  if (kind === 'admin' && !requester.isAdmin) throw matrixError.forbidden('Only server administrators may do this');
  if (refuseSuspended && requester.isSuspended) throw matrixError.userSuspended();
}
