import { afterEach, describe, expect, test } from '@jest/globals';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import type { AddressInfo } from 'node:net';
import { request, type Agent } from 'undici';
import { AddressGuard } from '../../../src/util/address-guard.ts';
import { guardedAgent, type Lookup } from '../../../src/util/guarded-agent.ts';

const guard = new AddressGuard([]);

describe('the address guard', () => {
  test.each([
    '127.0.0.1',
    '127.8.9.1',
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '169.254.169.254',
    '172.31.255.255',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '2001:0:7f00:1::',
    'fc00::1',
    'fdff::1',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    'localhost',
    'example.org',
    '',
  ])('refuses %j', (address) => {
    expect(guard.permits(address, 443)).toBe(false);
  });

  test.each(['1.1.1.1', '172.32.0.1', '192.169.0.1', '11.0.0.1', '2606:4700::1111', '2a00:1450:4001:80e::200e'])(
    'permits %s',
    (address) => {
      expect(guard.permits(address, 8448)).toBe(true);
    },
  );

  test('permits what the configuration names, and nothing beside it', () => {
    const wide = new AddressGuard(['10.0.0.0/24', '::1', '127.0.0.1']);
    expect(['10.0.0.7', '::1', '127.0.0.1', '::ffff:127.0.0.1'].every((address) => wide.permits(address, 1))).toBe(
      true,
    );
    expect(['10.0.1.7', '::2', '127.0.0.2'].some((address) => wide.permits(address, 1))).toBe(false);
  });

  test('lets nobody reach hidden ports of the machine by its public address', () => {
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const open = own.map(({ address }) => address).filter((address) => guard.permits(address, 443));
    for (const address of open) expect(guard.permits(address, 5432)).toBe(false);
  });
});

describe('the guarded agent', () => {
  const answering = (...answers: string[][]): Lookup => {
    let calls = 0;
    return (_host, _options, callback) => {
      const addresses = answers[Math.min(calls, answers.length - 1)] ?? [];
      calls += 1;
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    };
  };

  const agents: Agent[] = [];
  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.destroy();
  });
  const agentFor = (...options: Parameters<typeof guardedAgent>): Agent => {
    const agent = guardedAgent(...options).dispatcher;
    agents.push(agent);
    return agent;
  };

  async function withServer(work: (port: number, hits: () => number) => Promise<void>): Promise<void> {
    let hits = 0;
    const server = createServer((_, response) => {
      hits += 1;
      response.end('secret');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      await work((server.address() as AddressInfo).port, () => hits);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  test.each(['127.0.0.1', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', 'localhost'])(
    'does not connect to %s',
    async (host) => {
      await withServer(async (port, hits) => {
        const agent = agentFor(guard, 1000);
        await expect(request(`http://${host}:${port}/`, { dispatcher: agent })).rejects.toThrow();
        expect(hits()).toBe(0);
      });
    },
  );

  test('does not connect to a name that leads inside, also when only its second answer does', async () => {
    await withServer(async (port, hits) => {
      const inside = agentFor(guard, 1000, answering(['127.0.0.1']));
      await expect(request(`http://a.example:${port}/`, { dispatcher: inside })).rejects.toMatchObject({
        name: 'AddressRefused',
      });
      const mixed = agentFor(guard, 300, answering(['192.0.2.1', '127.0.0.1', '10.0.0.1']));
      await expect(request(`http://a.example:${port}/`, { dispatcher: mixed })).rejects.toThrow();
      expect(hits()).toBe(0);
    });
  });

  test('connects to the address that it has checked, not to what the name leads to later', async () => {
    await withServer(async (port, hits) => {
      const lookup = answering(['127.0.0.1'], ['127.0.0.2']);
      const agent = agentFor(new AddressGuard(['127.0.0.1']), 1000, lookup);
      const { body } = await request(`http://a.example:${port}/`, { dispatcher: agent });
      expect(await body.text()).toBe('secret');
      expect(hits()).toBe(1);
    });
  });
});
