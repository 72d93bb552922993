import { describe, expect, test } from '@jest/globals';
import { wellKnownRoutes } from '../../src/clientapi/routes/well-known.ts';
import { loadConfig } from '../../src/config/index.ts';
import { startTestServer } from '../support/http.ts';

const names = ['client', 'server', 'support', 'policy_server'];

async function answers(sets: readonly string[]) {
  const loaded = loadConfig({ env: {}, sets: ['server_name=example.org', ...sets] });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  await using server = await startTestServer(wellKnownRoutes({ config: loaded.value }));
  const all = await Promise.all(names.map((name) => server.client.get(`/.well-known/matrix/${name}`)));
  return Object.fromEntries(
    all.map(({ status, json, headers }, index) => {
      expect(headers.get('access-control-allow-origin')).toBe('*');
      return [names[index], status === 200 ? json : json.errcode];
    }),
  );
}

describe('/.well-known/matrix', () => {
  test('tells clients where the server is, and others nothing, by default', async () => {
    expect(await answers([])).toEqual({
      client: { 'm.homeserver': { base_url: 'https://example.org' } },
      server: 'M_NOT_FOUND',
      support: 'M_NOT_FOUND',
      policy_server: 'M_NOT_FOUND',
    });
  });

  test('tells what the operator has configured', async () => {
    const key = 'A'.repeat(43);
    const told = await answers([
      'public_base_url=https://matrix.example.org/',
      'well_known.server=matrix.example.org:443',
      'well_known.identity_server=https://id.example.org/',
      'well_known.support_page=https://example.org/help',
      'well_known.contacts=[{matrix_id: "@a:b.example"}, {role: m.role.security, email: s@example.org}]',
      `well_known.policy_server_key=${key}`,
    ]);
    expect(told).toEqual({
      client: {
        'm.homeserver': { base_url: 'https://matrix.example.org' },
        'm.identity_server': { base_url: 'https://id.example.org' },
      },
      server: { 'm.server': 'matrix.example.org:443' },
      support: {
        contacts: [
          { role: 'm.role.admin', matrix_id: '@a:b.example' },
          { role: 'm.role.security', email_address: 's@example.org' },
        ],
        support_page: 'https://example.org/help',
      },
      policy_server: { public_keys: { ed25519: key } },
    });
  });

  test('needs a way to reach each contact', () => {
    const loaded = loadConfig({ env: {}, sets: ['well_known.contacts=[{role: m.role.admin}]'] });
    expect(loaded).toMatchObject({ ok: false });
  });
});
