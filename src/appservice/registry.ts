/**
 * Which application service owns what: users, aliases and rooms by namespace, requests by token (A-S API v1.19
 * §Registration, §Server admin style permissions). It never changes while the server runs.
 */
import { matrixError } from '../matrix/errors.ts';
import { serverNameOf, type RoomAlias, type ServerName, type UserId } from '../matrix/ids.ts';
import { LruCache } from '../util/lru.ts';
import { loadRegistrations, type Namespace, type Registration } from './registration.ts';

const rememberedUsers = 50_000;
const none: readonly Registration[] = [];
const matches = (namespaces: readonly Namespace[], text: string): boolean =>
  namespaces.some(({ regex }) => regex.test(text));
const isExclusive = (namespaces: readonly Namespace[], text: string): boolean =>
  namespaces.some(({ exclusive, regex }) => exclusive && regex.test(text));

export class ServiceRegistry {
  readonly all: readonly Registration[];
  /** Those that are sent something. */
  readonly reached: readonly Registration[];
  readonly #serverName: ServerName;
  readonly #byToken: ReadonlyMap<string, Registration>;
  readonly #byUser = new LruCache<string, readonly Registration[]>({ max: rememberedUsers });

  constructor(registrations: readonly Registration[], serverName: ServerName) {
    this.all = registrations;
    this.reached = registrations.filter(({ url }) => url !== undefined);
    this.#serverName = serverName;
    this.#byToken = new Map(registrations.map((registration) => [registration.asToken, registration]));
  }

  /** The service whose `as_token` this is. */
  byToken(token: string): Registration | undefined {
    return this.#byToken.get(token);
  }

  /** @throws M_MISSING_TOKEN, M_UNKNOWN_TOKEN */
  demand(token: string | undefined): Registration {
    if (token === undefined) throw matrixError.missingToken();
    const registration = this.byToken(token);
    if (registration === undefined) throw matrixError.unknownToken();
    return registration;
  }

  /** Whether a user of this server is the service's sender or in one of its namespaces. */
  ownsUser(service: Registration, userId: string): boolean {
    return this.ownersOfUser(userId).includes(service);
  }

  /** "Application services can only register interest in local users." */
  ownersOfUser(userId: string): readonly Registration[] {
    if (this.all.length === 0 || serverNameOf(userId as UserId) !== this.#serverName) return none;
    const known = this.#byUser.get(userId);
    if (known !== undefined) return known;
    const owners = this.all.filter(({ sender, users }) => sender === userId || matches(users, userId));
    this.#byUser.set(userId, owners);
    return owners;
  }

  /** The user id is kept for a service: only that one may register it. */
  reservesUser(userId: string): boolean {
    return this.ownersOfUser(userId).some(({ sender, users }) => sender === userId || isExclusive(users, userId));
  }

  ownsAlias({ aliases }: Registration, alias: string): boolean {
    return matches(aliases, alias);
  }

  ownsRoom({ rooms }: Registration, roomId: string): boolean {
    return matches(rooms, roomId);
  }

  /** Services in whose namespaces an alias is. */
  ownersOfAlias(alias: string): readonly Registration[] {
    return this.all.filter((service) => this.ownsAlias(service, alias));
  }

  /**
   * Judges who makes or removes an alias; true when it is in the namespace of the service that asks.
   * @throws M_EXCLUSIVE for one that is reserved by another service, or made by a service outside its own namespace
   */
  checkAlias(alias: RoomAlias, serviceId: string | undefined, making: boolean): boolean {
    const owners = this.ownersOfAlias(alias);
    if (owners.some(({ id }) => id === serviceId)) return true;
    const reserved = owners.some(({ aliases }) => isExclusive(aliases, alias));
    if (reserved || (making && serviceId !== undefined)) {
      throw matrixError.exclusive(
        reserved ? 'The alias is reserved by an application service' : 'The alias is outside your namespaces',
      );
    }
    return false;
  }
}

/** The registration files cannot be used; the message has a line for each fault. */
class RegistrationError extends Error {
  override readonly name = 'RegistrationError';
}

/** Reads the registration files. @throws RegistrationError */
export function loadServices(files: readonly string[], serverName: ServerName): ServiceRegistry {
  const loaded = loadRegistrations(files, serverName);
  if (!loaded.ok) {
    throw new RegistrationError(['The application services cannot be set up:', ...loaded.error].join('\n  '));
  }
  return new ServiceRegistry(loaded.value, serverName);
}
