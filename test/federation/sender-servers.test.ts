import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from '../support/client.ts';
import { invite, joinBy, membershipBy, roomPath } from '../support/rooms-between.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

let servers: readonly FederatedServer[] = [];
let [one, two, three]: FederatedServer[] = [];
let [alice, bob, carol]: Client[] = [];

beforeAll(async () => {
  ({ servers } = await startServers(3));
  [one, two, three] = servers;
  [alice, bob, carol] = await Promise.all([one?.user('alice'), two?.user('bob'), three?.user('carol')]);
}, 60_000);
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

const known = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('not started');
  return value;
};

/** A room of alice's in which others are. */
async function sharedRoom(...others: Client[]): Promise<string> {
  const roomId = await known(alice).createRoom({ preset: 'public_chat' });
  for (const other of others) expect((await joinBy(other, roomId, [known(one).name])).status).toBe(200);
  return roomId;
}

/** What a user is sent in a room, until `isThere`; /sync wakes as soon as there is more. */
async function until(user: Client, isThere: (answer: Answer) => boolean): Promise<Answer> {
  let since: string | undefined;
  for (;;) {
    const answer = (await user.sync(since, 2000)) as unknown as Answer;
    if (isThere(answer)) return answer;
    since = answer.next_batch;
  }
}

interface Answer {
  readonly next_batch: string;
  readonly rooms?: {
    readonly join?: Record<
      string,
      {
        readonly timeline?: { readonly events: readonly { readonly content: Record<string, unknown> }[] };
        readonly ephemeral?: { readonly events: readonly { readonly type: string; readonly content: object }[] };
      }
    >;
  };
  readonly presence?: { readonly events: readonly { readonly sender: string; readonly content: object }[] };
  readonly device_lists?: { readonly changed?: readonly string[] };
}

const bodies = (answer: Answer, roomId: string): unknown[] =>
  (answer.rooms?.join?.[roomId]?.timeline?.events ?? []).map(({ content }) => content['body']);
const ephemeral = (answer: Answer, roomId: string, type: string): object[] =>
  (answer.rooms?.join?.[roomId]?.ephemeral?.events ?? []).flatMap((event) =>
    event.type === type ? [event.content] : [],
  );

describe('between servers', () => {
  test('messages flow to all and from all', async () => {
    const roomId = await sharedRoom(known(bob), known(carol));
    await known(alice).send(roomId, 'a', 'from alice');
    await Promise.all(
      [bob, carol].map((user) => until(known(user), (answer) => bodies(answer, roomId).includes('from alice'))),
    );
    await known(bob).send(roomId, 'b', 'from bob');
    await Promise.all(
      [alice, carol].map((user) => until(known(user), (answer) => bodies(answer, roomId).includes('from bob'))),
    );
  });

  test('typing, receipts and presence reach the other side', async () => {
    const roomId = await sharedRoom(known(bob));
    const { userId } = known(alice);
    await known(alice).must('PUT', `${roomPath(roomId)}/typing/${encodeURIComponent(userId)}`, {
      typing: true,
      timeout: 20_000,
    });
    await until(known(bob), (answer) =>
      ephemeral(answer, roomId, 'm.typing').some((content) => JSON.stringify(content).includes(userId)),
    );
    const sent = await known(bob).send(roomId, 'r', 'read me');
    const eventId = String(sent.body['event_id']);
    await until(known(alice), (answer) => bodies(answer, roomId).includes('read me'));
    await known(alice).must('POST', `${roomPath(roomId)}/receipt/m.read/${encodeURIComponent(eventId)}`, {});
    await until(known(bob), (answer) =>
      ephemeral(answer, roomId, 'm.receipt').some((content) => JSON.stringify(content).includes(userId)),
    );
    const status = { presence: 'online', status_msg: 'federating' };
    await known(alice).must('PUT', `/_matrix/client/v3/presence/${encodeURIComponent(userId)}/status`, status);
    await until(known(bob), (answer) =>
      (answer.presence?.events ?? []).some(
        ({ sender, content }) => sender === userId && JSON.stringify(content).includes('federating'),
      ),
    );
  });

  test('a changed device wakes the other side', async () => {
    const roomId = await sharedRoom(known(bob));
    const { userId } = known(alice);
    const { next_batch: since } = await known(bob).sync(undefined, 0);
    expect(await membershipBy(known(alice), roomId, known(bob))).toBe('join');
    const devices = await known(alice).must('GET', '/_matrix/client/v3/devices');
    const [device] = devices['devices'] as { device_id: string }[];
    const id = device?.device_id ?? '';
    // Nobody is told of devices that nothing can be encrypted for.
    const keys = { [`ed25519:${id}`]: 'a key' };
    const upload = { user_id: userId, device_id: id, algorithms: ['a'], keys, signatures: {} };
    await known(alice).must('POST', '/_matrix/client/v3/keys/upload', { device_keys: upload });
    const path = `/_matrix/client/v3/devices/${encodeURIComponent(id)}`;
    await known(alice).must('PUT', path, { display_name: 'new name' });
    let token = since;
    for (;;) {
      const answer = (await known(bob).sync(token, 2000)) as unknown as Answer;
      if (answer.device_lists?.changed?.includes(userId) === true) break;
      token = answer.next_batch;
    }
  });

  test('who was down gets what was said meanwhile, in order, when it is there again', async () => {
    const roomId = await sharedRoom(known(bob), known(carol));
    await known(two).stop();
    for (let count = 0; count < 60; count += 1) await known(alice).send(roomId, `m${count}`, `message ${count}`);
    await until(known(carol), (answer) => bodies(answer, roomId).includes('message 59'));
    await known(two).start();
    await until(known(bob), (answer) => bodies(answer, roomId).includes('message 59'));
    const all = (await known(bob).history(roomId)).filter(({ type }) => type === 'm.room.message');
    expect(all.map(({ content }) => content['body'])).toEqual(
      Array.from({ length: 60 }, (_, count) => `message ${count}`),
    );
  }, 60_000);

  test('who is thrown out learns of it, and of nothing after', async () => {
    const roomId = await sharedRoom(known(bob), known(carol));
    await known(alice).must('POST', `${roomPath(roomId)}/kick`, { user_id: known(bob).userId });
    while ((await membershipBy(known(carol), roomId, known(bob))) !== 'leave') await known(carol).sync(undefined, 0);
    const left = async (): Promise<unknown> =>
      (await known(bob).ask('GET', `${roomPath(roomId)}/joined_members`)).status;
    while ((await left()) !== 403) await known(bob).sync(undefined, 0);
    await known(alice).send(roomId, 'after', 'without bob');
    await until(known(carol), (answer) => bodies(answer, roomId).includes('without bob'));
    await invite(known(alice), roomId, known(bob));
    const history = await known(bob).history(roomId);
    expect(history.some(({ content }) => content['body'] === 'without bob')).toBe(false);
  }, 30_000);
});
