/** Registration (C-S API v1.19 §Account registration, §Token-authenticated registration). */
import * as v from 'valibot';
import type { ServiceRegistry } from '../../appservice/index.ts';
import { route, type Route } from '../../http/index.ts';
import { parseDeviceId } from '../../matrix/ids.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Database } from '../../storage/index.ts';
import type { Registration, RegistrationTokens, RegistrationWish, Session } from '../../userapi/index.ts';
import { jsonObject, maybe, readBody } from './body.ts';
import { sessionBody } from './session.ts';

export interface RegisterRouteParts {
  readonly db: Database;
  readonly serverName: string;
  readonly registration: Registration;
  readonly registrationTokens: RegistrationTokens;
  /** The application services, which register without any stage. */
  readonly services: ServiceRegistry;
}

const v3 = '/_matrix/client/v3';
const wish = v.object({
  username: maybe(v.string()),
  password: maybe(v.string()),
  device_id: maybe(v.string()),
  initial_device_display_name: maybe(v.string()),
  inhibit_login: maybe(v.boolean()),
  refresh_token: maybe(v.boolean()),
  guest_access_token: maybe(v.string()),
});

function readWish(body: JsonObject): RegistrationWish {
  const read = readBody(wish, body);
  const { username, password, device_id: deviceId } = read;
  if (deviceId !== undefined && deviceId !== '' && parseDeviceId(deviceId) === undefined) {
    throw matrixError.invalidParam('The device id is not valid');
  }
  return {
    ...{ username, password, deviceId },
    displayName: read.initial_device_display_name,
    inhibitLogin: read.inhibit_login,
    refreshable: read.refresh_token,
    guestToken: read.guest_access_token,
  };
}

export function registerRoutes(parts: RegisterRouteParts): Route[] {
  const { db, serverName, registration, registrationTokens } = parts;
  return [
    route({
      method: 'POST',
      path: `${v3}/register`,
      auth: 'none',
      rate: 'register',
      query: v.object({ kind: v.optional(v.picklist(['user', 'guest']), 'user') }),
      body: jsonObject,
      handle: async ({ query, body, accessToken }) => {
        if (body.type === 'm.login.application_service') return registerForService(parts, body, accessToken);
        const result =
          query.kind === 'guest'
            ? await registration.registerGuest(readWish(body).displayName)
            : await registration.register(body, readWish);
        return registrationBody(result, serverName);
      },
    }),
    route({
      method: 'GET',
      path: `${v3}/register/available`,
      auth: 'none',
      rate: 'read',
      query: v.object({ username: v.string() }),
      handle: ({ query, shown }) => {
        const userId = registration.checkAvailable(query.username);
        shown.key(`user:${userId}`);
        return { available: true };
      },
    }),
    route({
      method: 'GET',
      path: '/_matrix/client/v1/register/m.login.registration_token/validity',
      auth: 'none',
      rate: 'login',
      query: v.object({ token: v.string() }),
      handle: ({ query }) => ({ valid: db.read((snapshot) => registrationTokens.isValid(snapshot, query.token)) }),
    }),
  ];
}

/** A-S API §Server admin style permissions. @throws M_MISSING_TOKEN, M_UNKNOWN_TOKEN, M_EXCLUSIVE, M_USER_IN_USE */
async function registerForService(
  { registration, services, serverName }: RegisterRouteParts,
  body: JsonObject,
  token: string | undefined,
): Promise<unknown> {
  const service = services.demand(token);
  const wished = readWish(body);
  // Services of before the specification call it `user`.
  const username = wished.username ?? (typeof body.user === 'string' ? body.user : undefined);
  const owns = (userId: string): boolean => services.ownsUser(service, userId);
  return registrationBody(await registration.registerForService({ ...wished, username }, owns), serverName);
}

/** The reply to a registration: with tokens, without (`inhibit_login`), or the challenge as it is. */
export function registrationBody(result: unknown, serverName: string): unknown {
  if (typeof result !== 'object' || result === null || !('userId' in result)) return result;
  if ('accessToken' in result) return sessionBody(result as Session, serverName);
  return { user_id: result.userId, home_server: serverName };
}
