/** SIGKILL while an application service is sent its queue: what was answered with 200 reaches it, once and in order. */
import { afterAll, expect, test } from '@jest/globals';
import { rmSync } from 'node:fs';
import { asToken, registrationFiles, registrationOf, startScriptedService } from '../support/app-service.ts';
import { startServerProcess, temporaryFolder } from '../support/server-process.ts';

const rounds = Number(process.env['NEURITE_KILLS'] ?? 3);
const data = temporaryFolder();
afterAll(() => rmSync(data, { recursive: true, force: true }));

const headers = { Authorization: `Bearer ${asToken}` };

async function ask(url: string, method: string, body: object): Promise<Record<string, string> | undefined> {
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) }).catch(() => undefined);
  if (response?.ok !== true) return undefined;
  return (await response.json().catch(() => undefined)) as Record<string, string> | undefined;
}

test('every event that was answered reaches the service, in order, whatever is killed in between', async () => {
  await using service = await startScriptedService();
  await using files = await registrationFiles(registrationOf(service.url));
  // A transaction that is taken may be sent again when its answer is lost: the id tells (A-S API §Pushing events).
  const bodies = new Map<string, string>();
  const order: string[] = [];
  let requests = 0;
  service.script = ({ path, text }) => {
    requests += 1;
    const known = bodies.get(path);
    if (known !== undefined) expect(text).toBe(known);
    // Some are refused, so that transactions wait when the server is killed.
    if (requests % 4 === 3) return { status: 500 };
    if (known === undefined) order.push(path);
    bodies.set(path, text);
    return { status: 200 };
  };
  const told: string[] = [];
  let roomId: string | undefined;
  for (let round = 0; round <= rounds; round += 1) {
    const server = await startServerProcess({ data, set: { appservices: JSON.stringify(files.files) } });
    const v3 = `${server.baseUrl}/_matrix/client/v3`;
    roomId ??= (await ask(`${v3}/createRoom`, 'POST', {}))?.['room_id'];
    const send = `${v3}/rooms/${encodeURIComponent(roomId ?? '')}/send/m.room.message`;
    let dead = round === rounds;
    const sending = (async () => {
      for (let count = 0; !dead; count += 1) {
        const sent = await ask(`${send}/${round}-${count}`, 'PUT', { msgtype: 'm.text', body: `${round} ${count}` });
        if (sent?.['event_id'] !== undefined) told.push(sent['event_id']);
      }
    })();
    if (round === rounds) {
      const sent = await ask(`${send}/last`, 'PUT', { msgtype: 'm.text', body: 'last' });
      told.push(sent?.['event_id'] ?? '');
      await service.until(() => [...bodies.values()].some((text) => text.includes('"body":"last"')));
      await server.stop();
    } else {
      await service.until(() => bodies.size > round * 2 + 1);
      dead = true;
      await server.kill();
    }
    await sending;
  }
  const received = order.flatMap((path) =>
    (JSON.parse(bodies.get(path) ?? '{}') as { events: { event_id: string; type: string }[] }).events
      .filter(({ type }) => type === 'm.room.message')
      .map((event) => event.event_id),
  );
  expect(told.length).toBeGreaterThan(10);
  expect(new Set(received).size).toBe(received.length);
  // One that was not answered may be there as well: it was on disk when the server was killed.
  const answered = new Set(told);
  expect(received.filter((id) => answered.has(id))).toEqual(told);
});
