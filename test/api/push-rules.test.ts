import { expect, test } from '@jest/globals';
import { register, startUserServer, v3 } from '../support/userapi.ts';

test('push rules are listed whole, by kind and one by one', async () => {
  await using server = await startUserServer();
  const { client } = server;
  const { token } = await register(client, 'alice');
  const at = (path: string) => `${v3}/pushrules${path}`;
  const rule = { actions: ['notify'], pattern: 'cake' };
  expect((await client.put(at('/global/content/org.example.cake'), rule, token)).status).toBe(200);
  const shown = { rule_id: 'org.example.cake', default: false, enabled: true, ...rule };
  expect((await client.get(at('/global/content/org.example.cake'), token)).json).toEqual(shown);
  expect((await client.get(at('/global/content/'), token)).json).toEqual([shown]);
  expect((await client.get(at('/global/'), token)).json.content).toEqual([shown]);
  expect((await client.get(at('/'), token)).json.global.content).toEqual([shown]);
  expect((await client.get(at('/global/postcontent/org.example.cake'), token)).status).toBe(404);
  expect((await client.get(at(''), token)).status).toBe(404);
});

test.each(['/global', '/global/room', '/elsewhere/', '/elsewhere/room/!r:x', '/global/content/.m.rule/unknown'])(
  '%s names no push rule',
  async (path) => {
    await using server = await startUserServer();
    const { token } = await register(server.client, 'alice');
    for (const ask of ['get', 'put'] as const) {
      const answer =
        ask === 'get'
          ? await server.client.get(`${v3}/pushrules${path}`, token)
          : await server.client.put(`${v3}/pushrules${path}`, {}, token);
      expect([answer.status, answer.json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
    }
  },
);
