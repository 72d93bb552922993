/** Third-party look-ups (C-S API v1.19 §Third-party networks): without a bridge there is no network to look into. */
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';

const base = '/_matrix/client/v3/thirdparty';

export const thirdPartyRoutes = (): Route[] => [
  route({ method: 'GET', path: `${base}/protocols`, auth: 'user', rate: 'none', handle: () => ({}) }),
  ...(['protocol/:protocol', 'location/:protocol', 'user/:protocol', 'location', 'user'] as const).map((name) =>
    route({
      method: 'GET',
      path: `${base}/${name}`,
      auth: 'user',
      rate: 'none',
      handle: () => {
        throw matrixError.notFound('No third-party network knows this');
      },
    }),
  ),
];
