/**
 * `POST /_synapse/admin/v1/register`: accounts made by whoever knows `registration.shared_secret`, as bridges, scripts and
 * test suites do everywhere. A nonce, good for one minute and one request, and an HMAC-SHA1 over it and the account.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import { route, type Route } from '../http/index.ts';
import { MatrixError, matrixError } from '../matrix/errors.ts';
import { newOpaqueId, type Profiles, type Registration } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { LruCache } from '../util/lru.ts';

export interface AdminRegisterParts {
  readonly sharedSecret: string | undefined;
  readonly serverName: string;
  readonly clock: Clock;
  readonly registration: Registration;
  readonly profiles: Profiles;
}

const path = '/_synapse/admin/v1/register';
/** ms */
const nonceLifetime = 60_000;
const maxNonces = 10_000;
const account = v.object({
  nonce: v.string(),
  username: v.string(),
  password: v.string(),
  mac: v.string(),
  admin: v.nullish(v.boolean()),
  user_type: v.nullish(v.string()),
  displayname: v.nullish(v.string()),
  inhibit_login: v.nullish(v.boolean()),
});

const refusal = (status: number, message: string): MatrixError => new MatrixError(status, 'M_UNKNOWN', message);

/** The two rows; none when no secret is configured, so that the endpoint does not exist then. */
export function adminRegisterRoutes({ sharedSecret, serverName, clock, ...parts }: AdminRegisterParts): Route[] {
  if (sharedSecret === undefined) return [];
  const perf = { now: () => clock.now() };
  const nonces = new LruCache<string, true>({ max: maxNonces, ttl: nonceLifetime, ttlResolution: 0, perf });
  return [
    route({
      method: 'GET',
      path,
      auth: 'none',
      rate: 'none',
      handle: () => {
        const nonce = newOpaqueId();
        nonces.set(nonce, true);
        return { nonce };
      },
    }),
    route({
      method: 'POST',
      path,
      auth: 'none',
      rate: 'none',
      body: account,
      handle: async ({ body }) => {
        if (!nonces.delete(body.nonce)) throw refusal(400, 'The nonce is not known');
        if (!isMacValid(sharedSecret, body)) throw refusal(403, 'The HMAC is wrong');
        if (body.username === '') throw matrixError.invalidUsername();
        const { username, password, displayname } = body;
        const isAdmin = body.admin ?? false;
        const userType = body.user_type ?? undefined;
        const inhibitLogin = body.inhibit_login ?? false;
        const wish = { username, password, isAdmin, userType, inhibitLogin };
        const session = await parts.registration.registerByOperator(wish, (tx, userId) => {
          parts.profiles.set(tx, userId, 'displayname', displayname ?? '');
        });
        const named = { user_id: session.userId, home_server: serverName };
        if (!('accessToken' in session)) return named;
        return { ...named, device_id: session.deviceId, access_token: session.accessToken };
      },
    }),
  ];
}

/** HMAC-SHA1 in hex over nonce, user name, password, `admin` or `notadmin` and, if given, the type, joined by NUL. */
function isMacValid(secret: string, body: v.InferOutput<typeof account>): boolean {
  const fields = [body.nonce, body.username, body.password, body.admin === true ? 'admin' : 'notadmin'];
  if (typeof body.user_type === 'string') fields.push(body.user_type);
  const expected = createHmac('sha1', secret).update(fields.join('\0')).digest();
  const given = Buffer.from(body.mac, 'hex');
  return given.length === expected.length && timingSafeEqual(given, expected);
}
