/** History, media, directories, spaces, keys: what one server reads from the other. */
import assert from 'node:assert/strict';
import { until, type Person } from './person.ts';
import type { Both, Scenario } from './scenario.ts';

const enc = encodeURIComponent;

/** The texts of a room as `/messages` gives them, oldest first. */
async function texts(person: Person, room: string): Promise<string[]> {
  const events = await person.client.history(room);
  return events.filter(({ type }) => type === 'm.room.message').map(({ content }) => String(content['body']));
}

const history = (both: Both): readonly Scenario[] => [
  ...both('history from before the join is fetched', async (host, guest) => {
    const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
    const room = await alice.createRoom({ preset: 'public_chat' });
    const said = Array.from({ length: 150 }, (_, i) => `message ${i}`);
    for (const text of said) await alice.say(room, text);
    await bob.mustJoin(room, alice.server);
    await until('all messages', async () => {
      const seen = await texts(bob, room);
      assert.deepEqual(seen, said);
      return true;
    });
    assert.equal((await bob.client.history(room))[0]?.type, 'm.room.create');
  }),
  ...both('what came while away is read page by page', async (host, guest) => {
    const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
    const room = await alice.createRoom({ preset: 'public_chat' });
    await bob.mustJoin(room, alice.server);
    await bob.leave(room);
    await alice.untilMembership(room, bob.id, 'leave');
    const said = Array.from({ length: 40 }, (_, i) => `meanwhile ${i}`);
    for (const text of said) await alice.say(room, text);
    await bob.mustJoin(room, alice.server);
    await until('all messages', async () => {
      assert.deepEqual(await texts(bob, room), said);
      return true;
    });
  }),
  ...both('a date is jumped to', async (host, guest) => {
    const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
    const room = await alice.createRoom({ preset: 'public_chat' });
    await alice.say(room, 'before');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const time = Date.now();
    const wanted = await alice.say(room, 'the first after');
    for (let i = 0; i < 40; i++) await alice.say(room, `later ${i}`);
    await bob.mustJoin(room, alice.server);
    const path = `/_matrix/client/v1/rooms/${enc(room)}/timestamp_to_event?ts=${time}&dir=f`;
    await until('the event of that time', async () => {
      assert.equal((await bob.client.must('GET', path))['event_id'], wanted);
      return true;
    });
    await bob.untilSees(room, wanted);
  }),
];

// One red pixel.
const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==',
  'base64',
);

const media = (both: Both): readonly Scenario[] =>
  both('media and their thumbnails are fetched', async (host, guest) => {
    const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
    const sent = await fetch(`${alice.baseUrl}/_matrix/media/v3/upload?filename=red.png`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${alice.client.token}`, 'Content-Type': 'image/png' },
      body: png,
    });
    const { content_uri: uri } = (await sent.json()) as { content_uri: string };
    const id = uri.replace('mxc://', '');
    const get = (path: string): Promise<Response> =>
      fetch(`${bob.baseUrl}/_matrix/client/v1/media/${path}`, {
        headers: { Authorization: `Bearer ${bob.client.token}` },
      });
    const file = await get(`download/${id}`);
    assert.equal(file.status, 200, await file.clone().text());
    assert.equal(file.headers.get('content-type'), 'image/png');
    assert.match(file.headers.get('content-disposition') ?? '', /red\.png/);
    assert.ok(Buffer.from(await file.arrayBuffer()).equals(png));
    const thumbnail = await get(`thumbnail/${id}?width=32&height=32&method=crop`);
    assert.equal(thumbnail.status, 200, await thumbnail.clone().text());
    assert.match(thumbnail.headers.get('content-type') ?? '', /^image\//);
  });

const directories = (both: Both): readonly Scenario[] => [
  ...both('a room is found by its alias and in the directory', async (host, guest) => {
    const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
    const local = alice.id.slice(1).split(':')[0];
    const room = await alice.createRoom({
      preset: 'public_chat',
      visibility: 'public',
      name: `Room of ${local}`,
      room_alias_name: local,
    });
    const alias = `#${local}:${alice.server}`;
    assert.equal((await bob.get(`directory/room/${enc(alias)}`))['room_id'], room);
    // Synapse writes its directory a moment later.
    await until('the room in the directory', async () => {
      const listed = (await bob.post(`publicRooms?server=${enc(alice.server)}`, {
        filter: { generic_search_term: `Room of ${local}` },
      })) as { chunk: { room_id: string }[] };
      return String(listed.chunk.map(({ room_id }) => room_id)) === room;
    });
    await bob.mustJoin(alias, alice.server);
    await alice.untilMembership(room, bob.id, 'join');
  }),
  ...both('a profile is asked for', async (host, guest) => {
    const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
    await alice.put(`profile/${enc(alice.id)}/displayname`, { displayname: 'Alice of there' });
    assert.equal((await bob.get(`profile/${enc(alice.id)}`))['displayname'], 'Alice of there');
  }),
  ...both('a space is looked into', async (host, guest) => {
    const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
    const space = await alice.createRoom({
      preset: 'public_chat',
      creation_content: { type: 'm.space' },
      name: 'Space',
    });
    const open = await alice.createRoom({ preset: 'public_chat', name: 'Open' });
    const closed = await alice.createRoom({ preset: 'private_chat', name: 'Closed' });
    for (const child of [open, closed]) {
      await alice.setState(space, 'm.space.child', { via: [alice.server] }, child);
    }
    const rooms = async (): Promise<string[]> => {
      const reply = await bob.client.must('GET', `/_matrix/client/v1/rooms/${enc(space)}/hierarchy`);
      return (reply['rooms'] as { room_id: string }[]).map(({ room_id }) => room_id);
    };
    await bob.mustJoin(space, alice.server);
    await until('the children', async () => {
      assert.deepEqual(await rooms(), [space, open]);
      return true;
    });
  }),
  ...both('a server vouches for the keys of the other', async (host, guest) => {
    const reply = await fetch(`${host.baseUrl}/_matrix/key/v2/query/${enc(guest.name)}?minimum_valid_until_ts=0`);
    const { server_keys: keys } = (await reply.json()) as {
      server_keys: { server_name: string; signatures: Record<string, object>; verify_keys: object }[];
    };
    assert.equal(keys.length, 1);
    assert.equal(keys[0]?.server_name, guest.name);
    assert.deepEqual(Object.keys(keys[0].signatures).sort(), [host.name, guest.name].sort());
    assert.equal(Object.keys(keys[0].verify_keys).length, 1);
  }),
];

export const readingScenarios = (both: Both): readonly Scenario[] => [
  ...history(both),
  ...media(both),
  ...directories(both),
];
