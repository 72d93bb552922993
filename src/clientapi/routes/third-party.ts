/** Third-party look-ups (C-S API v1.19 §Third-party networks): the bridges know, the server passes on. */
import type { LookupKind, Networks } from '../../appservice/index.ts';
import { route, type Query, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';

const base = '/_matrix/client/v3/thirdparty';
const unknown = () => matrixError.notFound('No third-party network knows this');

export const thirdPartyRoutes = (networks: Networks): Route[] => [
  route({
    method: 'GET',
    path: `${base}/protocols`,
    auth: 'user',
    rate: 'none',
    handle: () => networks.protocols(),
  }),
  route({
    method: 'GET',
    path: `${base}/protocol/:protocol`,
    auth: 'user',
    rate: 'none',
    handle: async ({ params }) => {
      const found = await networks.protocol(params.protocol);
      if (found === undefined) throw unknown();
      return found;
    },
  }),
  ...(['location', 'user'] as const).flatMap((kind) => lookupRoutes(networks, kind)),
];

const lookupRoutes = (networks: Networks, kind: LookupKind): Route[] => [
  route({
    method: 'GET',
    path: `${base}/${kind}/:protocol`,
    auth: 'user',
    rate: 'none',
    handle: async ({ params, query }) => someOf(await networks.find(kind, params.protocol, fieldsOf(query))),
  }),
  route({
    method: 'GET',
    path: `${base}/${kind}`,
    auth: 'user',
    rate: 'none',
    handle: async ({ query }) => someOf(await networks.findReverse(kind, fieldsOf(query))),
  }),
];

function someOf<T>(found: readonly T[]): readonly T[] {
  if (found.length === 0) throw unknown();
  return found;
}

/** The fields to look for: all of the query but what is for this server. */
function fieldsOf(query: Query): URLSearchParams {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (name === 'access_token' || name === 'user_id' || name === 'device_id') continue;
    for (const one of typeof value === 'string' ? [value] : value) fields.append(name, one);
  }
  return fields;
}
