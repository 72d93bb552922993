/**
 * Profiles of remote users (S-S API v1.19 §Querying for information): asked of their servers, remembered for a few
 * minutes, and each question asked once however many wait.
 */
import { LRUCache } from 'lru-cache';
import type { FedClient, FederationFault } from '../../fedclient/index.ts';
import { matrixError, type MatrixError } from '../../matrix/errors.ts';
import { serverNameOf, type UserId } from '../../matrix/ids.ts';
import { memberOf, type JsonObject } from '../../matrix/json.ts';
import { utf8Length } from '../../util/bytes.ts';
import type { Clock } from '../../util/clock.ts';

export interface RemoteProfilesParts {
  readonly federation: Pick<FedClient, 'api'>;
  readonly clock: Clock;
}

type Outcome = { readonly profile: JsonObject } | { readonly refusal: MatrixError };

interface Remembered {
  readonly outcome: Outcome;
  readonly until: number;
}

/** ms */
const kept = 5 * 60_000;
const refusalKept = 60_000;
const timeoutMs = 10_000;
/** §Profiles: "The total size of a profile MUST NOT exceed 64 KiB". */
const maxProfile = 65_536;

export class RemoteProfiles {
  readonly #federation: RemoteProfilesParts['federation'];
  readonly #clock: Clock;
  readonly #remembered = new LRUCache<string, Remembered>({
    maxSize: 8_388_608,
    sizeCalculation: ({ outcome }, key) =>
      200 + key.length + ('profile' in outcome ? JSON.stringify(outcome.profile).length : 0),
  });
  readonly #asking = new Map<string, Promise<Outcome>>();

  constructor({ federation, clock }: RemoteProfilesParts) {
    this.#federation = federation;
    this.#clock = clock;
  }

  /**
   * A remote user's whole profile, or one field of it (alone in the answer, or absent).
   * @throws M_NOT_FOUND, M_FORBIDDEN as his server says; M_CONNECTION_FAILED, M_CONNECTION_TIMEOUT, M_BAD_STATUS
   */
  async get(userId: UserId, field?: string): Promise<JsonObject> {
    const outcome = this.#known(userId, field) ?? (await this.#ask(userId, field));
    if ('refusal' in outcome) throw outcome.refusal;
    if (field === undefined) return outcome.profile;
    const value = memberOf(outcome.profile, field);
    return value === undefined || value === null ? {} : { [field]: value };
  }

  /** A field may be known from the whole profile, which leaves out nothing that is public. */
  #known(userId: UserId, field: string | undefined): Outcome | undefined {
    for (const key of new Set([keyOf(userId, field), keyOf(userId, undefined)])) {
      const found = this.#remembered.get(key);
      if (found !== undefined && found.until > this.#clock.now()) return found.outcome;
    }
    return undefined;
  }

  #ask(userId: UserId, field: string | undefined): Promise<Outcome> {
    const key = keyOf(userId, field);
    const known = this.#asking.get(key);
    if (known !== undefined) return known;
    const asking = this.#askServer(userId, field).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  async #askServer(userId: UserId, field: string | undefined): Promise<Outcome> {
    const answer = await this.#federation.api.profile(serverNameOf(userId), userId, field, { timeoutMs });
    if (answer.ok && utf8Length(JSON.stringify(answer.value)) > maxProfile) {
      return { refusal: matrixError.badStatus('The profile is larger than profiles may be') };
    }
    const outcome: Outcome = answer.ok ? { profile: withoutNulls(answer.value) } : { refusal: refusalOf(answer.error) };
    const isAnswer = answer.ok || answer.error.kind === 'http';
    const until = this.#clock.now() + (answer.ok ? kept : refusalKept);
    if (isAnswer) this.#remembered.set(keyOf(userId, field), { outcome, until });
    return outcome;
  }
}

const keyOf = (userId: UserId, field: string | undefined): string => `${userId}\n${field ?? ''}`;

/** "MUST either be omitted or set to `null`": clients are given neither. */
const withoutNulls = (profile: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(profile).filter(([, value]) => value !== null));

function refusalOf(fault: FederationFault): MatrixError {
  if (fault.kind === 'timeout') return matrixError.connectionTimeout('The user’s server did not answer in time');
  if (fault.kind !== 'http') return matrixError.connectionFailed('The user’s server cannot be reached');
  if (fault.status === 404) return matrixError.notFound('There is no such user or profile field');
  if (fault.status === 403) return matrixError.forbidden('The user’s server does not tell this profile');
  return matrixError.badStatus('The user’s server answered with an error');
}
