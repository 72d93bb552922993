/**
 * From an `as_token` to whom the service acts as (A-S API v1.19 §Identity assertion): its sender, or with `user_id` any
 * user of its namespaces, with `device_id` on one of his devices. Other tokens are the users'.
 */
import type { Authenticator, AuthRequest, Query, Requester } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Database } from '../storage/index.ts';
import type { Devices, TokenAuthenticator } from '../userapi/index.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';

export interface ServiceAuthenticatorParts {
  readonly db: Database;
  readonly registry: ServiceRegistry;
  readonly users: TokenAuthenticator;
  readonly devices: Devices;
}

export class ServiceAuthenticator implements Authenticator {
  readonly #parts: ServiceAuthenticatorParts;

  constructor(parts: ServiceAuthenticatorParts) {
    this.#parts = parts;
  }

  isService(token: string): boolean {
    return this.#parts.registry.byToken(token) !== undefined;
  }

  /** @throws M_FORBIDDEN, M_UNKNOWN_DEVICE, M_USER_LOCKED, M_USER_DEACTIVATED, and those of users' tokens */
  authenticate(token: string, request: AuthRequest): Requester {
    const service = this.#parts.registry.byToken(token);
    return service === undefined ? this.#parts.users.authenticate(token, request) : this.#asserted(service, request);
  }

  #asserted(service: Registration, { query, address, userAgent, whileLocked }: AuthRequest): Requester {
    const { db, registry, users, devices } = this.#parts;
    const userId = (single(query, 'user_id') ?? service.sender) as UserId;
    if (!registry.ownsUser(service, userId)) {
      throw matrixError.forbidden('The user is in no namespace of the application service');
    }
    const account = users.account(userId);
    if (account === undefined) throw matrixError.forbidden('The application service has not registered this user');
    if (account.deactivated) throw matrixError.userDeactivated();
    if (account.locked && !whileLocked) throw matrixError.userLocked();
    const deviceId = single(query, 'device_id') ?? single(query, 'org.matrix.msc3202.device_id');
    if (deviceId !== undefined) {
      if (db.read((snapshot) => devices.get(snapshot, userId, deviceId)) === undefined) {
        throw matrixError.unknownDevice();
      }
      devices.saw(userId, deviceId, address, userAgent);
    }
    return {
      ...{ userId, deviceId, tokenId: 0, isGuest: false },
      isAdmin: account.isAdmin,
      isSuspended: account.suspended,
      appserviceId: service.id,
      // "Whether requests from masqueraded users are rate-limited. The sender is excluded."
      isUnlimited: !service.rateLimited || userId === service.sender,
    };
  }
}

/** @throws M_INVALID_PARAM when it is given more than once */
function single(query: Query, name: string): string | undefined {
  const value = query[name];
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw matrixError.invalidParam(`${name} is given more than once`);
  return value;
}
