/**
 * What is told under `/.well-known/matrix/` to whoever looks for this server by its name (C-S API v1.19 §Well-known URIs,
 * §Server support; S-S API §Server discovery). Often another web server answers these in its place.
 */
import { publicBaseUrl, type Config } from '../../config/index.ts';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { JsonObject } from '../../matrix/json.ts';

/** Undefined: this server has nothing to say there. */
type Answers = Readonly<Record<'client' | 'server' | 'support' | 'policy_server', JsonObject | undefined>>;

function answersOf(config: Config): Answers {
  const { server, identityServer, contacts, supportPage, policyServerKey } = config.wellKnown;
  const hasSupport = contacts.length > 0 || supportPage !== undefined;
  return {
    client: {
      'm.homeserver': { base_url: publicBaseUrl(config) },
      ...(identityServer === undefined
        ? {}
        : { 'm.identity_server': { base_url: identityServer.replace(/\/+$/, '') } }),
    },
    server: server === undefined ? undefined : { 'm.server': server },
    support: hasSupport
      ? {
          ...(contacts.length === 0
            ? {}
            : {
                contacts: contacts.map(({ role, matrixId, email }): JsonObject => ({
                  role,
                  ...(matrixId === undefined ? {} : { matrix_id: matrixId }),
                  ...(email === undefined ? {} : { email_address: email }),
                })),
              }),
          ...(supportPage === undefined ? {} : { support_page: supportPage }),
        }
      : undefined,
    policy_server: policyServerKey === undefined ? undefined : { public_keys: { ed25519: policyServerKey } },
  };
}

export function wellKnownRoutes({ config }: { readonly config: Config }): Route[] {
  const answers = answersOf(config);
  const handle = (name: keyof Answers) => () => {
    const answer = answers[name];
    if (answer === undefined) throw matrixError.notFound('This server says nothing here');
    return answer;
  };
  const row = { method: 'GET', auth: 'none', rate: 'none' } as const;
  return [
    route({ ...row, path: '/.well-known/matrix/client', handle: handle('client') }),
    route({ ...row, path: '/.well-known/matrix/server', handle: handle('server') }),
    route({ ...row, path: '/.well-known/matrix/support', handle: handle('support') }),
    route({ ...row, path: '/.well-known/matrix/policy_server', handle: handle('policy_server') }),
  ];
}
