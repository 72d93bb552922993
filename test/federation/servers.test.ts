import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startServers, type FederatedServer } from '../support/servers.ts';

let servers: readonly FederatedServer[] = [];
beforeAll(async () => {
  ({ servers } = await startServers(2));
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

test('two servers on loopback have names, certificates and users of their own', async () => {
  const [one, two] = servers;
  if (one === undefined || two === undefined) throw new Error('no servers');
  const alice = await one.user('alice');
  const bob = await two.user('bob');
  expect([alice.userId, bob.userId]).toEqual([`@alice:${one.name}`, `@bob:${two.name}`]);
});
