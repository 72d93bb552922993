/**
 * SIGKILL while notifications are sent, some of them refused: every message that was answered with 200 reaches the
 * gateway, for each pusher in order, and a kill doubles at most the one that was under way.
 */
import { rmSync } from 'node:fs';
import { afterAll, expect, test } from '@jest/globals';
import { registerAccount } from '../support/client.ts';
import { startPushGateway } from '../support/push-gateway.ts';
import { pusherBody } from '../support/push.ts';
import { freePort, neurite, startServerProcess, temporaryFolder } from '../support/server-process.ts';

const rounds = Number(process.env['NEURITE_KILLS'] ?? 3);
const pushkeys = ['one', 'two', 'three'];
const messagesARound = 120;
const data = temporaryFolder();
afterAll(() => rmSync(data, { recursive: true, force: true }));

test('notifications survive SIGKILL: none is lost, none is told out of order', async () => {
  await using gateway = await startPushGateway();
  const port = await freePort();
  const set = { 'push.allow_networks': '[127.0.0.0/8]', 'push.retry.first': '20ms', 'push.retry.longest': '100ms' };
  const start = () => startServerProcess({ data, port, set });
  let server = await start();
  const alice = await registerAccount(server.baseUrl, 'alice');
  const bob = await registerAccount(server.baseUrl, 'bob');
  const roomId = await bob.createRoom();
  await alice.join(roomId);
  for (const pushkey of pushkeys) {
    await alice.must('POST', '/_matrix/client/v3/pushers/set', pusherBody(gateway.url, { pushkey }));
  }
  const sent: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round > 0) server = await start();
    // The kill comes when the gateway has seen some, while more wait.
    const killing = gateway.attempted(gateway.attempts.length + 40 + round * 25).then(() => server.kill());
    for (let count = 0; count < messagesARound; count += 1) {
      if (count % 7 === 3) gateway.reply({ status: 502 });
      const answer = await bob.send(roomId, `${round}.${count}`, `${round}.${count}`).catch(() => undefined);
      if (answer?.status !== 200) break;
      sent.push(String(answer.body['event_id']));
    }
    await killing;
  }
  server = await start();
  const last = String((await bob.send(roomId, 'last', 'last')).body['event_id']);
  const told = (pushkey: string): string[] =>
    gateway.taken.filter(({ devices }) => devices[0]?.pushkey === pushkey).map(({ event_id: id }) => id ?? '');
  while (!pushkeys.every((pushkey) => told(pushkey).includes(last))) {
    await gateway.attempted(gateway.attempts.length + 1);
  }
  await server.stop();
  expect(await neurite(['verify', '--data', data])).toMatchObject({ status: 0, stdout: 'No difference found.\n' });
  for (const pushkey of pushkeys) {
    const events = told(pushkey);
    const once = events.filter((event, index) => events.indexOf(event) === index);
    expect(sent.filter((event) => !once.includes(event))).toEqual([]);
    expect(once.filter((event) => sent.includes(event))).toEqual(sent);
    expect(events.length - once.length).toBeLessThanOrEqual(rounds);
    // What is doubled follows its first telling at once.
    expect(events.filter((event, index) => events[index - 1] !== event)).toEqual(once);
  }
  alice.close();
  bob.close();
}, 120_000);
