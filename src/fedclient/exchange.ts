/**
 * One request to another server under way: its target and text, its time, and how its answer or failure is understood.
 */
import type { Dispatcher } from 'undici';
import type { ServerRoute } from '../matrix/discovery.ts';
import type { ServerName } from '../matrix/ids.ts';
import { asInteger, asString, isJsonObject, memberOf, parseJson, parseLosslessJson } from '../matrix/json.ts';
import type { JsonObject } from '../matrix/json.ts';
import { requestContent, signRequest } from '../matrix/xmatrix.ts';
import { codeOf, messageOf } from '../util/error-text.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { FederationFault } from './fault.ts';
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

const defaultTimeoutMs = 30_000;
const defaultMaxBytes = 10 * 1024 * 1024;
const maxErrorBytes = 64 * 1024;
const badGateway = (status: number): boolean => status >= 502 && status <= 504;

export interface Identity {
  readonly serverName: ServerName;
  readonly server: ServerName;
  readonly signingKey: SigningKey;
  readonly userAgent: string;
}

/** One request under way. `end` must be called when it is over. */
export class Exchange {
  readonly #request: FederationRequest;
  readonly #deadline = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #stopping: AbortSignal;
  readonly signal: AbortSignal;
  readonly uri: string;
  /** The body as it is sent: canonical JSON, which is also what is signed. */
  readonly content: string | undefined;

  constructor(request: FederationRequest, stopping: AbortSignal) {
    this.#request = request;
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
    return { kind: 'unreachable', message: shortMessageOf(error) };
  }

  /** Reads an answer: an error as a fault, a good one by `read`. The body is left when that has ended. */
  async take<T>(
    { statusCode: status, headers, body }: Dispatcher.ResponseData,
    read: (answer: FederationAnswer) => Promise<T> | T,
  ): Promise<Result<T, FederationFault>> {
    const header = (name: string): string | undefined => {
      const value = headers[name.toLowerCase()];
      return typeof value === 'string' ? value : value?.join(', ');
    };
    // An answer that is left early must not keep its connection, nor may its late errors go unheard.
    body.on('error', () => undefined);
    try {
      if (status < 200 || status > 299) return err(await errorOf(status, header('retry-after'), body));
      const maxBytes = this.#request.maxBytes ?? defaultMaxBytes;
      return ok(await read({ status, header, body: limited(body, maxBytes, header('content-length')) }));
    } catch (error) {
      return err(this.#faultOfReading(error));
    } finally {
      if (!body.readableEnded) body.destroy();
      // The pool marks a connection as free in a later turn: who asks again at once shall find it.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Of an error while the body was read: the network's, or the reader's own. */
  #faultOfReading(error: unknown): FederationFault {
    const fault = this.faultOf(error);
    return fault.kind === 'unreachable' && !isBrokenConnection(error)
      ? { kind: 'bad-reply', message: shortMessageOf(error) }
      : fault;
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

async function* limited(
  body: AsyncIterable<Buffer>,
  max: number,
  announced: string | undefined,
): AsyncGenerator<Buffer> {
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

/** Names and messages of other hosts may be long. */
const shortMessageOf = (error: unknown): string => messageOf(error).slice(0, 300);
/** Whether the connection broke, as opposed to what was said over it. */
export const isBrokenConnection = (error: unknown): boolean =>
  ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNABORTED', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED'].includes(
    codeOf(error) ?? '',
  ) || codeOf(error)?.startsWith('HPE_') === true;
