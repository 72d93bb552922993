/** Two whole servers: history of before a join is paged through, found by time and kept where it is not for the reader. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from '../support/client.ts';
import { eventually } from '../support/partial-scene.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

const v3 = '/_matrix/client/v3';
const v1 = '/_matrix/client/v1';
const enc = encodeURIComponent;

let servers: readonly FederatedServer[];
let near: FederatedServer;
let alice: Client;
let bob: Client;
beforeAll(async () => {
  ({ servers } = await startServers(2));
  const [one, two] = servers;
  if (one === undefined || two === undefined) throw new Error('no servers');
  near = one;
  [alice, bob] = [await one.user('alice'), await two.user('bob')];
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

interface ClientEvent {
  readonly event_id: string;
  readonly type: string;
  readonly content: { readonly body?: string };
  readonly origin_server_ts: number;
}
interface Page {
  readonly chunk: readonly ClientEvent[];
  readonly end?: string;
}

const create = async (visibility = 'shared'): Promise<string> => {
  const content = { history_visibility: visibility };
  const initial_state = [{ type: 'm.room.history_visibility', state_key: '', content }];
  return String((await alice.must('POST', `${v3}/createRoom`, { preset: 'public_chat', initial_state })).room_id);
};
let sent = 0;
const say = async (roomId: string, body: string): Promise<string> => {
  const path = `${v3}/rooms/${enc(roomId)}/send/m.room.message/t${sent++}`;
  return String((await alice.must('PUT', path, { msgtype: 'm.text', body })).event_id);
};
const join = (roomId: string) => bob.must('POST', `${v3}/join/${enc(roomId)}?via=${enc(near.name)}`, {});
const messages = async (roomId: string, query: string): Promise<Page> =>
  (await bob.must('GET', `${v3}/rooms/${enc(roomId)}/messages?${query}`)) as unknown as Page;

async function pageBack(roomId: string, limit: number): Promise<ClientEvent[]> {
  const events: ClientEvent[] = [];
  let from: string | undefined;
  for (let page = 0; page < 100; page++) {
    const answer = await messages(roomId, `dir=b&limit=${limit}${from === undefined ? '' : `&from=${from}`}`);
    events.push(...answer.chunk);
    from = answer.end;
    if (from === undefined) return events;
  }
  throw new Error('the paging does not end');
}

describe('history of before a join through another server', () => {
  test('is met whole, each event once, in pages of any size', async () => {
    const roomId = await create();
    const bodies = Array.from({ length: 60 }, (_, index) => `message ${index}`);
    for (const body of bodies) await say(roomId, body);
    await join(roomId);
    const events = await pageBack(roomId, 7);
    expect(events.flatMap(({ content }) => content.body ?? [])).toEqual(bodies.toReversed());
    expect(new Set(events.map(({ event_id: id }) => id)).size).toBe(events.length);
    expect(events.at(-1)?.type).toBe('m.room.create');
  });

  test('is not shown to who was not there when the room says so', async () => {
    const roomId = await create('joined');
    await say(roomId, 'secret');
    await join(roomId);
    const events = await pageBack(roomId, 10);
    expect(events.flatMap(({ content }) => content.body ?? [])).toEqual([]);
  });

  test('is found by time, in either direction, and paged on from there', async () => {
    const roomId = await create();
    const first = await say(roomId, 'first');
    const second = await say(roomId, 'second');
    const stamps = new Map<string, number>();
    for (const id of [first, second]) {
      const event = await alice.must('GET', `${v3}/rooms/${enc(roomId)}/event/${enc(id)}`);
      stamps.set(id, Number(event.origin_server_ts));
    }
    await join(roomId);
    const at = async (ts: number | undefined, dir: string) =>
      (await bob.must('GET', `${v1}/rooms/${enc(roomId)}/timestamp_to_event?ts=${ts}&dir=${dir}`)).event_id;
    expect(await at(stamps.get(second), 'b')).toBe(second);
    expect(await at(stamps.get(first), 'f')).toBe(first);
    const context = await bob.must('GET', `${v3}/rooms/${enc(roomId)}/context/${enc(second)}?limit=0`);
    const before = await messages(roomId, `dir=b&limit=100&from=${String(context.start)}`);
    expect(before.chunk[0]?.event_id).toBe(first);
    const late = await bob.ask('GET', `${v1}/rooms/${enc(roomId)}/timestamp_to_event?ts=${Date.now() + 1e6}&dir=f`);
    expect(late.status).toBe(404);
  });

  test('stays out of timelines, also when the accepted invite comes once more as an event of the room', async () => {
    const roomId = await create();
    await say(roomId, 'early');
    await alice.must('POST', `${v3}/rooms/${enc(roomId)}/invite`, { user_id: bob.userId });
    await join(roomId);
    await say(roomId, 'late');
    const filter = JSON.stringify({ room: { rooms: [roomId], state: { lazy_load_members: true } } });
    let since = '';
    const seen: string[] = [];
    while (!seen.includes('late')) {
      const sync = await bob.must('GET', `${v3}/sync?timeout=2000&filter=${enc(filter)}${since}`);
      since = `&since=${String(sync.next_batch)}`;
      const rooms = sync.rooms as { join?: Record<string, { timeline: { events: ClientEvent[] } }> } | undefined;
      const events = rooms?.join?.[roomId]?.timeline.events ?? [];
      seen.push(...events.map(({ content, type }) => content.body ?? type));
    }
    expect(seen).toEqual(['m.room.member', 'late']);
  });
});

test('history that was purged here comes back from a server that has come in since, as far as that knows it', async () => {
  const roomId = await create();
  await say(roomId, 'before');
  await join(roomId);
  const sayAs = async (who: Client, body: string): Promise<string> => {
    const path = `${v3}/rooms/${enc(roomId)}/send/m.room.message/p${sent++}`;
    return String((await who.must('PUT', path, { msgtype: 'm.text', body })).event_id);
  };
  const seenBy = (who: Client, id: string) =>
    eventually(
      () => who.ask('GET', `${v3}/rooms/${enc(roomId)}/event/${enc(id)}`),
      ({ status }) => status === 200,
    );
  await seenBy(bob, await sayAs(alice, 'ours'));
  await alice.must('PUT', `${v3}/rooms/${enc(roomId)}/state/m.room.topic`, { topic: 'tea' });
  const theirs = await sayAs(alice, 'ours too');
  await seenBy(bob, theirs);
  const last = await sayAs(bob, 'theirs');
  await seenBy(alice, last);
  const all = await alice.history(roomId);

  await near.app.createUser({ localpart: 'admin', password: 'a long password', admin: true });
  const login = {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'admin' },
    password: 'a long password',
  };
  const { access_token } = await alice.must('POST', `${v3}/login`, login);
  const byAdmin = async (method: string, path: string): Promise<Record<string, unknown>> => {
    const headers = { Authorization: `Bearer ${String(access_token)}`, 'Content-Type': 'application/json' };
    const body = method === 'POST' ? '{}' : null;
    const answer = await fetch(`${near.baseUrl}/_synapse/admin/v1/${path}`, { method, headers, body });
    return (await answer.json()) as Record<string, unknown>;
  };
  const { purge_id: id } = await byAdmin('POST', `purge_history/${enc(roomId)}/${enc(last)}`);
  await eventually(
    () => byAdmin('GET', `purge_history_status/${String(id)}`),
    ({ status }) => status === 'complete',
  );

  const again = await alice.history(roomId);
  const joined = all.findIndex(({ content, sender }) => sender === bob.userId && content.membership === 'join');
  expect(again.map(({ event_id: eventId }) => eventId)).toEqual(
    all.slice(joined).map(({ event_id: eventId }) => eventId),
  );
  expect(await alice.must('GET', `${v3}/rooms/${enc(roomId)}/state/m.room.topic`)).toEqual({ topic: 'tea' });
});
