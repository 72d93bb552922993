/** Keys, messages to devices and EDUs between two whole servers that share a room. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from '../support/client.ts';
import { useNeighbours } from '../support/neighbours.ts';

interface Item {
  readonly type: string;
  readonly sender: string;
  readonly event_id: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** What is looked at of a reply of /sync. */
interface Body {
  readonly next_batch: string;
  readonly device_lists?: { readonly changed?: readonly string[]; readonly left?: readonly string[] };
  readonly presence?: { readonly events?: readonly Item[] };
  readonly to_device?: { readonly events?: readonly Item[] };
  readonly rooms?: {
    readonly join?: Readonly<
      Record<
        string,
        { readonly timeline: { readonly events: readonly Item[] }; readonly ephemeral?: { events?: readonly Item[] } }
      >
    >;
  };
}

const { server, user } = useNeighbours(2, { alice: 0, bob: 1 });
let room: string;
beforeAll(async () => {
  room = await user('alice').createRoom({ preset: 'public_chat' });
  await user('bob').must('POST', `${v3}/join/${id(room)}?server_name=${server(0).name}`, {});
});

const v3 = '/_matrix/client/v3';
const id = encodeURIComponent;

const deviceOf = async (client: Client): Promise<string> =>
  String((await client.must('GET', `${v3}/account/whoami`)).device_id);

async function uploadKeys(client: Client, key: string): Promise<string> {
  const deviceId = await deviceOf(client);
  const keys = { [`ed25519:${deviceId}`]: key };
  const device = { user_id: client.userId, device_id: deviceId, algorithms: ['a'], keys, signatures: {} };
  await client.must('POST', `${v3}/keys/upload`, { device_keys: device });
  return deviceId;
}

const keyOf = async (viewer: Client, of: Client, deviceId: string): Promise<unknown> => {
  const answer = await viewer.must('POST', `${v3}/keys/query`, { device_keys: { [of.userId]: [] } });
  const devices = answer['device_keys'] as Record<string, Record<string, { keys: Record<string, string> }>>;
  return devices[of.userId]?.[deviceId]?.keys[`ed25519:${deviceId}`];
};

/** Syncs from a token until `check` finds what it looks for. */
async function until<T>(client: Client, since: string, check: (body: Body) => T | undefined): Promise<[T, string]> {
  let from = since;
  for (let tries = 0; tries < 30; tries += 1) {
    const body = (await client.must('GET', `${v3}/sync?timeout=2000&since=${from}`)) as unknown as Body;
    from = body.next_batch;
    const found = check(body);
    if (found !== undefined) return [found, from];
  }
  throw new Error('never seen');
}
/** Syncs until a change of the list shows this key: clients may hear of a list once more when it was fetched. */
async function untilKey(viewer: Client, since: string, of: Client, deviceId: string, key: string): Promise<string> {
  let from = since;
  do {
    [, from] = await until(viewer, from, changed(of));
  } while ((await keyOf(viewer, of, deviceId)) !== key);
  return from;
}
const now = async (client: Client): Promise<string> => String((await client.must('GET', `${v3}/sync`)).next_batch);
const changed = (user: Client) => (body: Body) =>
  body.device_lists?.changed?.includes(user.userId) ? true : undefined;

describe('Two servers with a shared room', () => {
  test('keep each other’s device lists up to date', async () => {
    const device = await uploadKeys(user('bob'), 'one');
    expect(await keyOf(user('alice'), user('bob'), device)).toBe('one');
    const since = await now(user('alice'));
    await uploadKeys(user('bob'), 'two');
    const then = await untilKey(user('alice'), since, user('bob'), device, 'two');
    await uploadKeys(user('bob'), 'three');
    await untilKey(user('alice'), then, user('bob'), device, 'three');
  });

  test('tell typing, receipts and presence', async () => {
    const since = await now(user('alice'));
    await user('bob').must('PUT', `${v3}/rooms/${id(room)}/typing/${id(user('bob').userId)}`, {
      typing: true,
      timeout: 30_000,
    });
    const ephemeral = (body: Body, type: string) =>
      body.rooms?.join?.[room]?.ephemeral?.events?.find((event) => event.type === type)?.content;
    const typing = (body: Body) => ephemeral(body, 'm.typing')?.['user_ids'];
    expect((await until(user('alice'), since, typing))[0]).toEqual([user('bob').userId]);
    const { event_id: eventId } = await user('alice').must('PUT', `${v3}/rooms/${id(room)}/send/m.room.message/one`, {
      msgtype: 'm.text',
      body: 'hello',
    });
    await until(user('bob'), '0', (body: Body) =>
      body.rooms?.join?.[room]?.timeline?.events?.some((event) => event.event_id === eventId) ? true : undefined,
    );
    await user('bob').must('POST', `${v3}/rooms/${id(room)}/receipt/m.read/${id(String(eventId))}`, {});
    const receipt = (body: Body) => {
      const read = ephemeral(body, 'm.receipt')?.[String(eventId)] as
        { 'm.read'?: Record<string, unknown> } | undefined;
      return read?.['m.read']?.[user('bob').userId];
    };
    expect((await until(user('alice'), since, receipt))[0]).toEqual({ ts: expect.any(Number) });
    await user('bob').must('PUT', `${v3}/presence/${id(user('bob').userId)}/status`, {
      presence: 'online',
      status_msg: 'here',
    });
    const presence = (body: Body) =>
      body.presence?.events?.find(
        (event) => event.sender === user('bob').userId && event.content['status_msg'] === 'here',
      );
    expect((await until(user('alice'), since, presence))[0].content['presence']).toBe('online');
  });

  test('drop a list when its user leaves, and fetch it again when he is back', async () => {
    const device = await uploadKeys(user('bob'), 'before');
    const since = await now(user('alice'));
    await user('bob').must('POST', `${v3}/rooms/${id(room)}/leave`, {});
    const left = (body: Body) => (body.device_lists?.left?.includes(user('bob').userId) ? true : undefined);
    const [, then] = await until(user('alice'), since, left);
    await uploadKeys(user('bob'), 'while away');
    expect(await keyOf(user('alice'), user('bob'), device)).toBe('while away');
    await user('bob').must('POST', `${v3}/join/${id(room)}?server_name=${server(0).name}`, {});
    await until(user('alice'), then, changed(user('bob')));
    expect(await keyOf(user('alice'), user('bob'), device)).toBe('while away');
  });

  test('deliver messages to devices once, also after an outage and a restart', async () => {
    const device = await deviceOf(user('bob'));
    const send = (txn: string, n: number, to: string) =>
      user('alice').must('PUT', `${v3}/sendToDevice/m.test/${txn}`, {
        messages: { [user('bob').userId]: { [to]: { n } } },
      });
    const messages = (count: number) => {
      const seen: unknown[] = [];
      return (body: Body) => {
        for (const { sender, content } of body.to_device?.events ?? []) seen.push([sender, content['n']]);
        return seen.length >= count ? seen : undefined;
      };
    };
    const since = await now(user('bob'));
    await send('a', 1, device);
    await send('a', 1, device);
    await send('b', 2, '*');
    const [first, then] = await until(user('bob'), since, messages(2));
    expect(first).toEqual([
      [user('alice').userId, 1],
      [user('alice').userId, 2],
    ]);
    await server(1).stop();
    await send('c', 3, device);
    await server(0).stop();
    await server(0).start();
    await server(1).start();
    await send('d', 4, device);
    const [second] = await until(user('bob'), then, messages(2));
    expect(second).toEqual([
      [user('alice').userId, 3],
      [user('alice').userId, 4],
    ]);
  });
});
