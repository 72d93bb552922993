/**
 * The declarative row that every endpoint is (DESIGN §9). Authentication, rate class, body limit, transaction id and
 * validation are declared here and done by the kernel; a handler is a short function of checked values.
 */
import type { GenericSchema, InferOutput } from 'valibot';
import type { ServerName, UserId } from '../matrix/ids.ts';
import type { Shown, Tx } from '../storage/index.ts';
import type { BodyStream } from './stream.ts';

/** Who is asking, as the access token says. */
export interface Requester {
  readonly userId: UserId;
  /** Absent for application services without a device, and for administrators who act as the user. */
  readonly deviceId: string | undefined;
  /** Row id of the access token; 0 for application services. */
  readonly tokenId: number;
  readonly isGuest: boolean;
  readonly isAdmin: boolean;
  /** Sends and changes are refused with M_USER_SUSPENDED where the specification lists it. */
  readonly isSuspended: boolean;
  /** The application service that asks with its own token, for a user of its namespaces. */
  readonly appserviceId: string | undefined;
  /** No rate limits apply. */
  readonly isUnlimited?: boolean;
}

/** Which listeners serve a row (`listeners[].resources`). */
export type Resource = 'client' | 'federation' | 'admin' | 'metrics';

/**
 * - `none`: no token is looked at
 * - `optional`: a token is used if there is one
 * - `user`: a registered account (guests get M_GUEST_ACCESS_FORBIDDEN)
 * - `guest`: guests too
 * - `admin`: server administrators
 * - `server`: another server, by the signature of its request (X-Matrix)
 */
export type AuthKind = 'none' | 'optional' | 'user' | 'guest' | 'admin' | 'server';

export type RateClass =
  | 'none'
  | 'read'
  | 'write'
  | 'message'
  | 'login'
  | 'register'
  | 'join'
  | 'invite'
  | 'remoteInvite'
  | 'keys'
  | 'federation';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** Handed to handlers of rows with a transaction id; absent when the client sent none. */
export interface TransactionRecord {
  /** Records the answer in the handler's own transaction; a repeated request then gets it again (INVARIANTS 4). */
  record(tx: Tx, body: unknown): void;
  /** The id as the client sent it, for `unsigned.transaction_id`. */
  readonly id: string;
}

export interface RequestContext<A extends AuthKind, P, Q, B> {
  readonly requester: A extends 'none' | 'server'
    ? undefined
    : A extends 'optional'
      ? Requester | undefined
      : Requester;
  /** The server that has signed the request. */
  readonly origin: A extends 'server' ? ServerName : undefined;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** The raw body, for rows without a `body` schema. */
  readonly stream: BodyStream;
  /** The JSON text of the body as a server sent it, events and all; empty for rows of other kinds. */
  readonly bodyText: string;
  readonly transaction: TransactionRecord | undefined;
  /** What the reply shows; the kernel waits for it to be on disk before it answers. */
  readonly shown: Shown;
  /** Aborted when the client has gone or the server stops. */
  readonly signal: AbortSignal;
  /** The client's address, behind trusted proxies too. */
  readonly address: string;
  readonly userAgent: string;
  readonly accessToken: string | undefined;
}

/**
 * An answer that is more than a 200 with a JSON body. Bytes and files (`FileBody`) as body are sent as they are, with
 * the `Content-Type` among the headers.
 */
export class Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** A body that is JSON text already (composed by concatenation); chunks are joined as they are. */
export class JsonText {
  readonly chunks: readonly string[];

  constructor(chunks: readonly string[]) {
    this.chunks = chunks;
  }
}

/** Parameter names of a path: `/a/:b/:c` gives `b | c`. */
export type PathParams<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | PathParams<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;

type Output<S, Default> = S extends GenericSchema ? InferOutput<S> : Default;

export interface RouteSpec<
  Path extends string,
  A extends AuthKind,
  PS extends GenericSchema | undefined,
  QS extends GenericSchema | undefined,
  BS extends GenericSchema | undefined,
> {
  readonly method: Method;
  /** Current stable path with `:name` parameters; each segment is decoded once. */
  readonly path: Path;
  /**
   * Other full paths of the same operation (unstable names, trailing variants). `/_matrix/client/v3/…` is served under
   * `r0` as well without being named. A parameter that an alias lacks is the empty string.
   */
  readonly aliases?: readonly string[];
  readonly auth: A;
  readonly rate: RateClass;
  /** Which listeners serve the row; default: what its path says. */
  readonly resources?: readonly Resource[];
  /** Largest body in bytes; default `limits.request_body` behind a token or signature, 64 KiB for anyone. */
  readonly maxBody?: number;
  /** The body becomes part of events: floats, big integers and duplicate keys are M_BAD_JSON (Appendices §Canonical JSON). */
  readonly canonicalBody?: boolean;
  /** Suspended accounts get M_USER_SUSPENDED (C-S API §Account suspension). */
  readonly refuseSuspended?: boolean;
  /** The path parameter that is a transaction id (`txnId`). */
  readonly transaction?: PathParams<Path>;
  /** The endpoint stays open to locked accounts (logout) and to soft-logged-out ones. */
  readonly whileLocked?: boolean;
  /** Schema of the path parameters; default: plain strings. */
  readonly params?: PS;
  /** Schema over the query: single values as strings, repeated keys as arrays of strings. */
  readonly query?: QS;
  /** Schema of the JSON body; without one no body is read. */
  readonly body?: BS;
  readonly handle: (
    context: RequestContext<
      A,
      Output<PS, Record<PathParams<Path>, string>>,
      Output<QS, Record<string, string | readonly string[]>>,
      Output<BS, undefined>
    >,
  ) => unknown;
}

/** A row with its types erased, as the kernel keeps it. */
export interface Route {
  readonly method: Method;
  readonly path: string;
  readonly aliases: readonly string[];
  readonly auth: AuthKind;
  readonly rate: RateClass;
  readonly resources: readonly Resource[];
  readonly maxBody: number | undefined;
  readonly canonicalBody: boolean;
  readonly refuseSuspended: boolean;
  readonly transaction: string | undefined;
  readonly whileLocked: boolean;
  readonly params: GenericSchema | undefined;
  readonly query: GenericSchema | undefined;
  readonly body: GenericSchema | undefined;
  /** Returns the JSON body of a 200, a `Reply`, a `JsonText`, or a promise of one. @throws MatrixError */
  readonly handle: (context: RequestContext<AuthKind, unknown, unknown, unknown>) => unknown;
}

/** What a path says about who asks for it. */
function resourcesOf(path: string): readonly Resource[] {
  if (/^\/_matrix\/(federation|key)\/|^\/\.well-known\/matrix\/server$/.test(path)) return ['federation'];
  if (/^\/_(neurite|synapse)\/admin\//.test(path)) return ['admin'];
  if (path.startsWith('/_matrix/media/')) return ['client', 'federation'];
  return ['client'];
}

/** Makes a row; parameter, query and body types follow from path and schemas. */
export function route<
  const Path extends string,
  A extends AuthKind,
  PS extends GenericSchema | undefined = undefined,
  QS extends GenericSchema | undefined = undefined,
  BS extends GenericSchema | undefined = undefined,
>(spec: RouteSpec<Path, A, PS, QS, BS>): Route {
  return {
    method: spec.method,
    path: spec.path,
    aliases: spec.aliases ?? [],
    auth: spec.auth,
    rate: spec.rate,
    resources: spec.resources ?? resourcesOf(spec.path),
    maxBody: spec.maxBody,
    canonicalBody: spec.canonicalBody ?? false,
    refuseSuspended: spec.refuseSuspended ?? false,
    transaction: spec.transaction,
    whileLocked: spec.whileLocked ?? false,
    params: spec.params,
    query: spec.query,
    body: spec.body,
    // The kernel hands over exactly what the schemas of this row gave.
    handle: spec.handle as Route['handle'],
  };
}
