/**
 * Asking services for users and aliases of their namespaces that are not known here, before "not found" (A-S API v1.19
 * §Querying). The service makes them meanwhile; whoever asked looks again.
 */
import { MatrixError } from '../matrix/errors.ts';
import { parseUserId, serverNameOf, type RoomAlias, type ServerName, type UserId } from '../matrix/ids.ts';
import type { Clock } from '../util/clock.ts';
import type { ServiceClient } from './client.ts';
import { ServiceSilent } from './client.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';

export interface QueryParts {
  readonly registry: ServiceRegistry;
  readonly client: ServiceClient;
  readonly clock: Clock;
  readonly serverName: ServerName;
  /** An account of this name exists, a deactivated one too. */
  readonly isKnownUser: (userId: UserId) => boolean;
  readonly isKnownAlias: (alias: string) => boolean;
}

/** ms; "the homeserver should retry several times before timing out". */
const pauses = [200, 1000];
const answerTimeout = 10_000;

export class ServiceQueries {
  readonly #parts: QueryParts;
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(parts: QueryParts) {
    this.#parts = parts;
  }

  /**
   * Has an unknown user of this server made by the service that knows him; does nothing for others.
   * @throws M_UNKNOWN (408) when no service answers
   */
  async user(userId: string): Promise<void> {
    const { registry, isKnownUser } = this.#parts;
    const owners = registry.ownersOfUser(userId).filter(({ url, sender }) => url !== undefined && sender !== userId);
    if (owners.length === 0 || isKnownUser(userId as UserId)) return;
    await this.#ask(owners, `/users/${encodeURIComponent(userId)}`);
  }

  /** As `user`, for those who are about to be invited: the invite goes out all the same. */
  async invited(users: readonly unknown[]): Promise<void> {
    if (this.#parts.registry.reached.length === 0) return;
    const ids = users.flatMap((user) => (typeof user === 'string' ? (parseUserId(user) ?? []) : []));
    await Promise.all(ids.map((userId) => this.user(userId).catch(() => undefined)));
  }

  /** Has an unknown alias of this server made; does nothing for anything else. @throws M_UNKNOWN (408) */
  async alias(alias: string): Promise<void> {
    const { registry, isKnownAlias, serverName } = this.#parts;
    if (!alias.startsWith('#') || serverNameOf(alias as RoomAlias) !== serverName) return;
    const owners = registry.ownersOfAlias(alias).filter(({ url }) => url !== undefined);
    if (owners.length === 0 || isKnownAlias(alias)) return;
    await this.#ask(owners, `/rooms/${encodeURIComponent(alias)}`);
  }

  #ask(owners: readonly Registration[], path: string): Promise<boolean> {
    const running = this.#running.get(path);
    if (running !== undefined) return running;
    const asked = this.#askAll(owners, path).finally(() => this.#running.delete(path));
    this.#running.set(path, asked);
    return asked;
  }

  async #askAll(owners: readonly Registration[], path: string): Promise<boolean> {
    let silent = 0;
    for (const service of owners) {
      const status = await this.#statusOf(service, path);
      if (status === 200) return true;
      if (status === undefined) silent += 1;
    }
    if (silent === owners.length) throw new MatrixError(408, 'M_UNKNOWN', 'The application service does not answer');
    return false;
  }

  /** undefined: no answer at all. */
  async #statusOf(service: Registration, path: string): Promise<number | undefined> {
    for (const pause of [...pauses, undefined]) {
      try {
        const wish = { method: 'GET', path, legacyPath: path, timeout: answerTimeout } as const;
        return (await this.#parts.client.ask(service, wish)).status;
      } catch (error) {
        if (!(error instanceof ServiceSilent)) throw error;
        if (pause === undefined) return undefined;
        await this.#parts.clock.sleep(pause);
      }
    }
    return undefined;
  }
}

/** What routes ask of it. */
export type UnknownNames = Pick<ServiceQueries, 'user' | 'invited' | 'alias'>;
