/**
 * Requests to application services (A-S API v1.19 §Homeserver -> Application Service API): the token in the header, the
 * unversioned paths of old services where the present ones are not known, limits on time and size. Their addresses are
 * the operator's own choice: private ones are as good as others.
 */
import { asString, memberOf, parseJson } from '../matrix/json.ts';
import { textUpTo } from '../util/bounded.ts';
import type { Clock } from '../util/clock.ts';
import { messageOf } from '../util/error-text.ts';
import { LazyAgent, undici } from '../util/lazy.ts';
import { untilAborted } from '../util/until-aborted.ts';
import type { Registration } from './registration.ts';

export interface ServiceRequest {
  readonly method: 'GET' | 'PUT' | 'POST';
  /** Behind `/_matrix/app/v1`, its segments encoded. */
  readonly path: string;
  /** The path that older services know instead, whole. */
  readonly legacyPath?: string;
  readonly query?: URLSearchParams;
  /** JSON text. */
  readonly body?: string;
  /** ms */
  readonly timeout: number;
  readonly signal?: AbortSignal;
}

export interface ServiceAnswer {
  readonly status: number;
  readonly text: string;
}

/** No answer came. */
export class ServiceSilent extends Error {
  override readonly name = 'ServiceSilent';
  readonly timedOut: boolean;

  constructor(message: string, timedOut: boolean) {
    super(message);
    this.timedOut = timedOut;
  }
}

const base = '/_matrix/app/v1';
const maxAnswer = 4 * 1024 * 1024;
/** How long a service that only knows the old paths is asked by those first, in ms. */
const legacyKept = 3_600_000;

export class ServiceClient {
  readonly #clock: Clock;
  readonly #agent = new LazyAgent(
    () => new (undici().Agent)({ connections: 16, pipelining: 1, keepAliveTimeout: 4000, allowH2: false }),
  );
  /** Service id and first segment of the path → until when the old path comes first. */
  readonly #legacy = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws ServiceSilent */
  async ask(service: Registration, wish: ServiceRequest): Promise<ServiceAnswer> {
    const { legacyPath } = wish;
    if (legacyPath === undefined) return this.#send(service, base + wish.path, wish, false);
    const key = `${service.id} ${wish.path.split('/')[1] ?? ''}`;
    if ((this.#legacy.get(key) ?? 0) > this.#clock.now()) {
      const answer = await this.#send(service, legacyPath, wish, true);
      if (!isUnknownPath(answer)) return answer;
      this.#legacy.delete(key);
    }
    const answer = await this.#send(service, base + wish.path, wish, false);
    if (!isUnknownPath(answer)) return answer;
    const older = await this.#send(service, legacyPath, wish, true);
    if (older.status === 200) this.#legacy.set(key, this.#clock.now() + legacyKept);
    return older.status === 200 ? older : answer;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #send(service: Registration, path: string, wish: ServiceRequest, legacy: boolean): Promise<ServiceAnswer> {
    const query = new URLSearchParams(wish.query);
    // "Servers should only send this query parameter if supporting legacy versions of the specification."
    if (legacy) query.set('access_token', service.hsToken);
    const text = query.toString();
    const limit = AbortSignal.timeout(wish.timeout);
    const signal = wish.signal === undefined ? limit : AbortSignal.any([limit, wish.signal]);
    try {
      const asked = undici().request(`${service.url ?? ''}${path}${text === '' ? '' : `?${text}`}`, {
        dispatcher: this.#agent.dispatcher,
        method: wish.method,
        signal,
        headers: {
          Authorization: `Bearer ${service.hsToken}`,
          'User-Agent': 'Neurite',
          ...(wish.body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        body: wish.body ?? null,
      });
      const { statusCode, body } = await untilAborted(asked, signal);
      body.on('error', () => undefined);
      return { status: statusCode, text: await textUpTo(body as AsyncIterable<Buffer>, maxAnswer) };
    } catch (error) {
      const message = messageOf(error);
      throw new ServiceSilent(limit.aborted ? `no answer within ${wish.timeout} ms` : message, limit.aborted);
    }
  }
}

/** The path is not known there; a 404 that says something else is about what was asked for. */
function isUnknownPath({ status, text }: ServiceAnswer): boolean {
  if (status !== 404 && status !== 405) return false;
  const errcode = asString(memberOf(parseJson(text), 'errcode'));
  return errcode === undefined || errcode === 'M_UNRECOGNIZED';
}
