/** Discovery of the OAuth 2.0 API (C-S API v1.19 §Server metadata discovery), which this server does not offer. */
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';

export const authMetadataRoutes = (): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v1/auth_metadata',
    aliases: ['/_matrix/client/unstable/org.matrix.msc2965/auth_metadata'],
    auth: 'none',
    rate: 'none',
    handle: () => {
      // "The homeserver does not support the OAuth 2.0 API": clients then use the API of this server's own.
      throw matrixError.unrecognized('This server does not offer the OAuth 2.0 API');
    },
  }),
];
