/** Rows that show what the HTTP kernel does with any of them. */
import { number, object, optional, picklist, string } from 'valibot';
import { JsonText, Reply, route, type Route } from '../../src/http/index.ts';
import { matrixError } from '../../src/matrix/errors.ts';

export const base = '/_matrix/client/v3/test';
/** How often the open row has run. */
export const handled = { count: 0 };

export const rows: Route[] = [
  route({
    method: 'GET',
    path: `${base}/open`,
    auth: 'none',
    rate: 'none',
    handle: () => ({ n: (handled.count += 1) }),
  }),
  route({
    method: 'GET',
    path: `${base}/who`,
    auth: 'guest',
    rate: 'read',
    handle: ({ requester, accessToken }) => ({ user: requester.userId, accessToken }),
  }),
  route({ method: 'GET', path: `${base}/users`, auth: 'user', rate: 'read', handle: () => ({}) }),
  route({ method: 'GET', path: `${base}/admins`, auth: 'admin', rate: 'read', handle: () => ({}) }),
  route({
    method: 'PUT',
    path: `${base}/change`,
    auth: 'user',
    rate: 'write',
    refuseSuspended: true,
    handle: () => ({}),
  }),
  route({
    method: 'GET',
    path: `${base}/maybe`,
    auth: 'optional',
    rate: 'read',
    handle: ({ requester }) => ({ user: requester?.userId ?? null }),
  }),
  route({
    method: 'POST',
    path: `${base}/body`,
    auth: 'none',
    rate: 'none',
    body: object({ name: string(), age: optional(number()), deep: optional(object({ kind: string() })) }),
    handle: ({ body }) => body,
  }),
  route({
    method: 'POST',
    path: `${base}/empty`,
    auth: 'none',
    rate: 'none',
    body: object({}),
    handle: () => undefined,
  }),
  route({
    method: 'PUT',
    path: `${base}/event`,
    auth: 'none',
    rate: 'none',
    canonicalBody: true,
    maxBody: 1000,
    body: object({}),
    handle: () => ({}),
  }),
  route({
    method: 'GET',
    path: `${base}/query`,
    auth: 'none',
    rate: 'none',
    query: object({ dir: picklist(['f', 'b']) }),
    handle: ({ query }) => query,
  }),
  route({
    method: 'GET',
    path: `${base}/state/:type/:key`,
    aliases: [`${base}/state/:type`],
    auth: 'none',
    rate: 'none',
    handle: ({ params, query }) => ({ params, query }),
  }),
  route({
    method: 'GET',
    path: `${base}/text`,
    auth: 'none',
    rate: 'none',
    handle: () => new JsonText(['{"a":[', ...Array.from({ length: 40_000 }, (_, index) => `"é${index}",`), '0]}']),
  }),
  route({
    method: 'GET',
    path: `${base}/reply`,
    auth: 'none',
    rate: 'none',
    handle: () => new Reply(302, Buffer.from('go'), { Location: '/there', 'Content-Type': 'text/plain' }),
  }),
  route({
    method: 'GET',
    path: `${base}/limited`,
    auth: 'none',
    rate: 'none',
    handle: () => {
      throw matrixError.limitExceeded(1500);
    },
  }),
  route({
    method: 'GET',
    path: `${base}/broken`,
    auth: 'none',
    rate: 'none',
    handle: () => {
      throw new Error('the secret is 42');
    },
  }),
];
