/** `GET /voip/turnServer` (C-S API v1.19 §Voice over IP): credentials for the TURN servers of the configuration. */
import { createHmac } from 'node:crypto';
import type { Config } from '../../config/index.ts';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { Clock } from '../../util/clock.ts';

export interface VoipParts {
  readonly turn: Config['turn'];
  readonly clock: Clock;
}

export const voipRoutes = ({ turn, clock }: VoipParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v3/voip/turnServer',
    auth: 'user',
    rate: 'read',
    handle: ({ requester }) => {
      const { uris, ttl } = turn;
      const credentials = uris.length === 0 ? undefined : credentialsFor(turn, requester.userId, clock.now());
      if (credentials === undefined) throw matrixError.notFound('This server has no TURN server');
      return { ...credentials, uris, ttl: Math.floor(ttl / 1000) };
    },
  }),
];

interface Credentials {
  readonly username: string;
  readonly password: string;
}

/**
 * With a shared secret, the scheme that TURN servers know as "REST API": the name holds when it ends, the password proves
 * that somebody with the secret has made it.
 */
function credentialsFor(turn: Config['turn'], userId: string, now: number): Credentials | undefined {
  const { sharedSecret, username, password, ttl } = turn;
  if (sharedSecret !== undefined) {
    const name = `${Math.floor((now + ttl) / 1000)}:${userId}`;
    return { username: name, password: createHmac('sha1', sharedSecret).update(name).digest('base64') };
  }
  return username === undefined || password === undefined ? undefined : { username, password };
}
