/**
 * User-Interactive Authentication (C-S API v1.19 §User-Interactive Authentication API). Sessions live in bounded memory:
 * losing one costs the client a fresh start. Stages are functions; what they learn is handed to the guarded operation.
 */
import { Reply, type Requester } from '../http/index.ts';
import { matrixError, type MatrixError } from '../matrix/errors.ts';
import { isJsonObject, memberOf, type JsonObject, type JsonValue } from '../matrix/json.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Clock } from '../util/clock.ts';
import { LruCache } from '../util/lru.ts';
import type { Result } from '../util/result.ts';
import type { ProvenEmail } from './email-validations.ts';
import { newOpaqueId } from './secrets.ts';

/** What completed stages have shown. */
export interface UiaFacts {
  /** The user whose password was given. */
  readonly userId?: UserId;
  /** The registration token that was accepted. */
  readonly registrationToken?: string;
  /** The e-mail address that was proven. */
  readonly email?: ProvenEmail;
}

/** One way to authenticate: looks at the `auth` object, returns what it learned or why not. */
export type Stage = (auth: JsonObject, requester: Requester | undefined) => Promise<Result<UiaFacts, MatrixError>>;

export type StageName =
  | 'm.login.dummy'
  | 'm.login.email.identity'
  | 'm.login.password'
  | 'm.login.recaptcha'
  | 'm.login.registration_token'
  | 'm.login.sso'
  | 'm.login.terms';

export type Flows = readonly (readonly StageName[])[];

export interface UiaRequest {
  /** Name of the operation: a session is good for one, asked for by one user. */
  readonly operation: string;
  readonly requester: Requester | undefined;
  /** The request's body, `auth` included. */
  readonly body: JsonObject;
  readonly flows: Flows;
  /** Stages that may be completed though no flow asks for them. */
  readonly alsoTaken?: readonly StageName[];
  readonly params?: JsonObject;
  /** The operation must not be done twice for one session: `outcome` has its answer for who asks again. */
  readonly once?: boolean;
}

/** What the guarded operation gets. */
export interface Granted {
  /** The request's body, completed by what earlier requests of the session said, without `auth`. */
  readonly body: JsonObject;
  readonly facts: UiaFacts;
}

interface Session {
  readonly id: string;
  readonly operation: string;
  readonly requester: Requester | undefined;
  readonly body: JsonObject;
  /** The stages of all its flows. */
  readonly stages: ReadonlySet<string>;
  readonly params: JsonObject;
  readonly completed: Set<string>;
  facts: UiaFacts;
  outcome: Promise<unknown> | undefined;
}

const maxSessions = 5000;
/** ms */
const sessionLifetime = 30 * 60_000;

export class Uia {
  readonly #stages: Readonly<Record<StageName, Stage>>;
  readonly #ownerFlows: (requester: Requester) => Flows;
  readonly #sessions: LruCache<string, Session>;

  /** @param ownerFlows how a user can show that he holds his account */
  constructor(clock: Clock, stages: Readonly<Record<StageName, Stage>>, ownerFlows: (requester: Requester) => Flows) {
    this.#stages = stages;
    this.#ownerFlows = ownerFlows;
    const perf = { now: () => clock.now() };
    this.#sessions = new LruCache({ max: maxSessions, ttl: sessionLifetime, ttlResolution: 0, perf });
  }

  /**
   * Runs `operation` once a flow is complete; until then the answer is the 401 that says what is missing. A session
   * stays open when the operation throws, and ends when it succeeds.
   * @throws M_FORBIDDEN for a session that was begun for something else
   */
  async guard(request: UiaRequest, operation: (granted: Granted) => Promise<unknown>): Promise<unknown> {
    const { auth, ...rest } = request.body;
    // The token of an application service is all that there is to show (A-S API §Device management, §Cross-signing).
    if (request.requester?.appserviceId !== undefined) return operation({ body: rest, facts: {} });
    const session = this.#session(request, isJsonObject(auth) ? auth : undefined, rest);
    if (isJsonObject(auth)) {
      const failure = await this.#attempt(request, session, auth);
      if (failure !== undefined) return challenge(request, session, failure);
    }
    const complete = request.flows.some((stages) => stages.every((stage) => session.completed.has(stage)));
    if (!isJsonObject(auth) || !complete) return challenge(request, session);
    const { userId } = session.facts;
    // Somebody else has shown himself: no second attempt makes that right.
    if (request.requester !== undefined && userId !== undefined && userId !== request.requester.userId) {
      throw matrixError.forbidden('Another user has authenticated');
    }
    const outcome = operation({ body: { ...session.body, ...rest }, facts: session.facts });
    if (request.once === true) session.outcome = outcome;
    try {
      const result = await outcome;
      if (request.once !== true) this.#sessions.delete(session.id);
      return result;
    } catch (error) {
      session.outcome = undefined;
      throw error;
    }
  }

  /** What came, or is about to come, of an operation that is done once, for a client that lost the answer. */
  outcome(operation: string, body: JsonObject): Promise<unknown> | undefined {
    const id = memberOf(body.auth, 'session');
    const session = typeof id === 'string' ? this.#sessions.get(id) : undefined;
    return session?.operation === operationName(operation, undefined) ? session.outcome : undefined;
  }

  /** As `guard`, for what the account's owner alone may do: by password or single sign-on, as the account has them. */
  guardOwner(
    request: Omit<UiaRequest, 'flows' | 'requester'> & { readonly requester: Requester },
    operation: (granted: Granted) => Promise<unknown>,
  ): Promise<unknown> {
    return this.guard({ ...request, flows: this.#ownerFlows(request.requester) }, operation);
  }

  /** What a session still asks for of one stage: its `params` entry, or undefined when there is nothing to do. */
  pending(sessionId: string, stage: string): { readonly params: JsonValue | undefined } | undefined {
    const session = this.#sessions.get(sessionId);
    const offered = session?.stages.has(stage) === true && !session.completed.has(stage);
    return offered ? { params: session.params[stage] } : undefined;
  }

  /** Completes a stage from outside the guarded request (§Fallback): false when `auth` does not satisfy it. */
  async complete(sessionId: string, stage: string, auth: JsonObject): Promise<boolean> {
    const session = this.#sessions.get(sessionId);
    if (session === undefined || !isStage(this.#stages, stage) || !session.stages.has(stage)) return false;
    const result = await this.#stages[stage](auth, session.requester);
    if (result.ok) settle(session, stage, result.value);
    return result.ok;
  }

  /** Notes a stage that was completed elsewhere, with what it has shown; false when the session does not ask for it. */
  settle(sessionId: string, stage: StageName, facts: UiaFacts): boolean {
    const session = this.#sessions.get(sessionId);
    if (session === undefined || !session.stages.has(stage)) return false;
    settle(session, stage, facts);
    return true;
  }

  #session(request: UiaRequest, auth: JsonObject | undefined, body: JsonObject): Session {
    const operation = operationName(request.operation, request.requester);
    const known = typeof auth?.session === 'string' ? this.#sessions.get(auth.session) : undefined;
    // What was shown for one operation must not be good for another.
    if (known !== undefined && known.operation !== operation) {
      throw matrixError.forbidden('This session was begun for another operation');
    }
    if (known !== undefined) return known;
    const { requester, params = {} } = request;
    const stages = new Set<string>(request.flows.flat());
    const fresh = { completed: new Set<string>(), facts: {}, outcome: undefined };
    const session: Session = { id: newOpaqueId(), operation, requester, body, stages, params, ...fresh };
    this.#sessions.set(session.id, session);
    return session;
  }

  async #attempt(request: UiaRequest, session: Session, auth: JsonObject): Promise<MatrixError | undefined> {
    const { type } = auth;
    // Only a session: the client asks whether a stage was completed by other means.
    const stage = [...request.flows.flat(), ...(request.alsoTaken ?? [])].find((name) => name === type);
    if (stage === undefined || session.completed.has(stage)) return undefined;
    const result = await this.#stages[stage](auth, request.requester);
    if (!result.ok) return result.error;
    settle(session, stage, result.value);
    return undefined;
  }
}

const isStage = (stages: object, name: string): name is StageName => Object.hasOwn(stages, name);

const operationName = (operation: string, requester: Requester | undefined): string =>
  `${operation} ${requester?.userId ?? ''}`;

function settle(session: Session, stage: string, facts: UiaFacts): void {
  session.completed.add(stage);
  session.facts = { ...session.facts, ...facts };
}

function challenge(request: UiaRequest, session: Session, failure?: MatrixError): Reply {
  return new Reply(401, {
    ...(failure === undefined ? {} : failure.toJSON()),
    flows: request.flows.map((stages) => ({ stages })),
    params: request.params ?? {},
    session: session.id,
    completed: [...session.completed],
  });
}
