/**
 * Fan-out: how long a message takes to the last of many servers, each with a connection of its own, what it costs, and how
 * much memory it takes over what the server had before. The servers are one HTTPS listener under many names, in a process
 * of its own, which answers at once. Run: `node test/bench/fan-out.ts [destinations …]`
 */
import { fork } from 'node:child_process';
import { createServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { ServerName } from '../../src/matrix/ids.ts';
import { sql } from '../../src/storage/index.ts';
import { TestNetwork } from '../support/federation.ts';
import { alice, sharedRoom, startSender, type TestSender } from '../support/sender.ts';

const domain = 'many.test';
const messages = 3;

/** The process of the servers: tells the time at which each transaction came, with the bodies of its messages. */
async function receive(): Promise<void> {
  const [{ cert, key }] = (await once(process, 'message')) as [{ cert: string; key: string }];
  const server = createServer({ cert, key }, (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { pdus = [] } = JSON.parse(Buffer.concat(pieces).toString()) as { pdus?: { content: { body?: string } }[] };
      const bodies = pdus.flatMap(({ content }) => content.body ?? []);
      process.send?.({ bodies, at: performance.timeOrigin + performance.now() });
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"pdus":{}}');
    });
  });
  server.keepAliveTimeout = 300_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.send?.({ port: (server.address() as AddressInfo).port });
}

const insertHost = sql<[server: number, room: number]>(
  'INSERT INTO room_hosts (server, room, from_position, to_position) VALUES (?, ?, 0, NULL)',
);

const rssMiB = (): number => process.memoryUsage().rss / 2 ** 20;

interface Arrival {
  readonly bodies: readonly string[];
  readonly at: number;
}

/** Speaks `messages` times, each time when the last one is everywhere; one line each. */
async function measure(count: number): Promise<void> {
  const network = new TestNetwork();
  const servers = fork(import.meta.filename, ['servers']);
  servers.send(network.ca.issue(`*.${domain}`));
  const [{ port }] = (await once(servers, 'message')) as [{ port: number }];
  const names = Array.from({ length: count }, (_, index) => `s${index}.${domain}`);
  for (const name of names) network.hosts.set(name, ['127.0.0.1']);
  const server: TestSender = await startSender(network);
  const room = await server.receive(sharedRoom([`@first:${names[0]}:${port}`]));
  await server.db.write((tx) => {
    for (const name of names.slice(1)) {
      tx.run(insertHost, server.core.stores.keys.intern(tx, `${name}:${port}` as ServerName), room.nid);
    }
  });
  let listen: (arrival: Arrival) => void = () => undefined;
  servers.on('message', (arrival) => listen(arrival as Arrival));
  const idle = rssMiB();
  for (let message = 0; message < messages; message += 1) {
    const text = `message ${message}`;
    const arrivals: number[] = [];
    const all = new Promise<void>((resolve) => {
      listen = ({ bodies, at }) => {
        if (bodies.includes(text) && arrivals.push(at) === count) resolve();
      };
    });
    const cpu = process.cpuUsage();
    const begun = performance.timeOrigin + performance.now();
    await server.send(room, { type: 'm.room.message', content: { msgtype: 'm.text', body: text }, sender: alice });
    const answered = performance.timeOrigin + performance.now() - begun;
    await all;
    const after = arrivals.map((at) => at - begun).sort((a, b) => a - b);
    const at = (share: number): string => `${Math.round(after[Math.floor((count - 1) * share)] ?? 0)} ms`;
    const { user, system } = process.cpuUsage(cpu);
    const cost = (user + system) / count;
    console.log(
      `${count} servers, ${text}${message === 0 ? ' (new connections)' : ''}: answered ${answered.toFixed(1)} ms, ` +
        `first ${at(0)}, half ${at(0.5)}, last ${at(1)}; ${Math.round(cost)} µs a server, ` +
        `${Math.round(rssMiB())} MiB (idle ${Math.round(idle)})`,
    );
  }
  servers.kill();
  await server[Symbol.asyncDispose]();
}

if (process.argv[2] !== 'servers') {
  const counts = process.argv.slice(2).map(Number);
  for (const count of counts.length > 0 ? counts : [100, 5000]) await measure(count);
} else await receive();
