/** What keeps one server from taking everything, and the listener that others connect to. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import { route } from '../../src/http/index.ts';
import { CertificateWatch, readCertificate } from '../../src/http/certificate.ts';
import { OriginGate } from '../../src/http/origin-gate.ts';
import { createLogger } from '../../src/util/log.ts';
import { startTestServer, testConfig } from '../support/http.ts';
import { startServers } from '../support/servers.ts';
import { trusting } from '../support/serving.ts';
import { makeTestCa } from '../support/tls.ts';

describe('requests of one server', () => {
  test('are worked on a few at a time, in their order, and refused when too many wait', async () => {
    const gate = new OriginGate(2);
    const started: number[] = [];
    const ends: (() => void)[] = [];
    const ask = (origin: string, id: number): Promise<number> =>
      gate.run(origin, async () => {
        started.push(id);
        await new Promise<void>((resolve) => ends.push(resolve));
        return id;
      });
    const asked = Array.from({ length: 22 }, (_, id) => ask('one.test', id));
    expect(started).toEqual([0, 1]);
    await expect(ask('one.test', 22)).rejects.toMatchObject({ status: 429, errcode: 'M_LIMIT_EXCEEDED' });
    const other = ask('two.test', 100);
    expect(started).toEqual([0, 1, 100]);
    for (let end = ends.shift(); end !== undefined; end = ends.shift()) {
      end();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all([...asked, other])).toHaveLength(23);
    expect(started.filter((id) => id < 100)).toEqual(Array.from({ length: 22 }, (_, id) => id));
    expect(gate.size).toBe(0);
  });

  test('count against its share and no other’s', async () => {
    const rows = [
      route({
        method: 'GET',
        path: '/_matrix/federation/v1/x',
        auth: 'server',
        rate: 'federation',
        handle: () => ({}),
      }),
    ];
    const { rateLimits } = testConfig();
    const federation = { perSecond: 0.001, burst: 3 };
    await using server = await startTestServer(rows, {
      servers: trusting,
      config: { rateLimits: { ...rateLimits, federation } },
    });
    const ask = async (origin: string): Promise<number> => {
      const headers = { Authorization: `Test ${origin}` };
      return (await server.client.request('/_matrix/federation/v1/x', { headers })).status;
    };
    const statuses = [await ask('a.test'), await ask('a.test'), await ask('a.test'), await ask('a.test')];
    expect(statuses).toEqual([200, 200, 200, 429]);
    expect(await ask('b.test')).toBe(200);
  });
});

describe('invites from another server', () => {
  test('are refused when too many come', async () => {
    const limit = { 'rate_limits.remote_invite.per_second': '0.001', 'rate_limits.remote_invite.burst': '2' };
    const { servers } = await startServers(2, { set: { 'rate_limits.enabled': 'true', ...limit } });
    try {
      const [near, far] = servers;
      if (near === undefined || far === undefined) throw new Error('no servers');
      const [alice, bob] = [await near.user('alice'), await far.user('bob')];
      const invite = async (): Promise<number> => {
        const { room_id: id } = await alice.must('POST', '/_matrix/client/v3/createRoom', {});
        const path = `/_matrix/client/v3/rooms/${encodeURIComponent(String(id))}/invite`;
        return (await alice.ask('POST', path, { user_id: bob.userId })).status;
      };
      expect([await invite(), await invite()]).toEqual([200, 200]);
      expect(await invite()).toBeGreaterThanOrEqual(400);
    } finally {
      for (const server of servers) await server[Symbol.asyncDispose]();
    }
  });
});

describe('the certificate of a listener', () => {
  test('is taken up again when its files change, and open connections go on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'neurite-cert-'));
    const ca = makeTestCa();
    const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    const write = (part: 'cert' | 'key', pair: { cert: string; key: string }): void =>
      writeFileSync(files[part], pair[part]);
    const [first, second] = [ca.issue('localhost'), ca.issue('localhost')];
    write('cert', first);
    write('key', first);
    const loaded = readCertificate(files);
    const server = createServer(loaded, (_request, response) => response.end('ok'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const log = createLogger({ level: 'silent', format: 'json' });
    using watch = new CertificateWatch(server, files, loaded, log);
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (agent: Agent) =>
      new Promise<{ serial: string; socket: string }>((resolve, reject) => {
        const outgoing = request(
          { host: '127.0.0.1', port, ca: ca.cert, servername: 'localhost', agent },
          (incoming) => {
            const socket = incoming.socket as TLSSocket;
            const seen = { serial: socket.getPeerCertificate().serialNumber, socket: String(socket.localPort) };
            incoming.resume().on('end', () => resolve(seen));
          },
        );
        outgoing.on('error', reject).end();
      });
    try {
      const before = await ask(kept);
      expect(await watch.check()).toBe(false);
      write('cert', second);
      // The key is still the old one: the pair is of no use yet.
      expect(await watch.check()).toBe(false);
      write('key', second);
      expect(await watch.check()).toBe(true);
      expect(await ask(kept)).toEqual(before);
      const fresh = new Agent({ keepAlive: false });
      expect((await ask(fresh)).serial).not.toBe(before.serial);
    } finally {
      kept.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true });
    }
  });
});
