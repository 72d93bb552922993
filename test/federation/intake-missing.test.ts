/** What received events stand on: missing prev events, states, auth events (S-S API v1.19 §PDUs, §Retrieving events). */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { buildEvent, signEvent } from '../../src/matrix/event-builder.ts';
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { contentHash, type Pdu, type RoomEvent, toRoomEvent } from '../../src/matrix/pdu.ts';
import { alice, hang, type IntakeWorld, type RoomPeer, startIntake, until } from '../support/intake.ts';
import { keyOf, type SignedRoom } from '../support/room-builder.ts';

let world: IntakeWorld;
let peer: RoomPeer;
let room: SignedRoom;
let pat: string;
beforeEach(async () => {
  world = await startIntake();
  ({ peer, room, pat } = await world.peerWithRoom());
});
afterEach(async () => {
  await peer[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

const say = (count: number): RoomEvent[] => Array.from({ length: count }, (_, n) => room.message(pat, String(n)));
const results = async (
  events: readonly RoomEvent[],
  origin: string = peer.name,
): Promise<Record<string, { error?: string }>> => (await world.send(origin, events)).json.pdus;
const isBehindGap = (eventId: string): boolean =>
  world.rooms.read((snapshot) => {
    const event = world.rooms.core.eventById(snapshot, eventId);
    return event !== undefined && world.rooms.core.isBehindGap(snapshot, event);
  });

describe('missing prev events', () => {
  test('INVARIANTS 12: are live, with Positions in topological order before their child', async () => {
    const events = say(12);
    const last = events.at(-1) as RoomEvent;
    expect(await results([last])).toEqual({ [last.eventId]: {} });
    expect(world.timeline(room).slice(-12)).toEqual(events.map(({ eventId }) => eventId));
    expect([peer.asked('get_missing_events'), peer.asked('state')]).toEqual([1, 0]);
    expect(world.rooms.topics().filter((topic) => topic === 'room.event').length).toBeGreaterThanOrEqual(12);
    expect(world.verify()).toEqual([]);
  });

  test('of a longer gap come in several answers', async () => {
    const events = say(50);
    await results(events.slice(-1));
    expect(world.timeline(room).slice(-50)).toEqual(events.map(({ eventId }) => eventId));
    expect(peer.asked('get_missing_events')).toBe(3);
  });

  test('of a very deep gap are not all fetched: behind the newest stays a gap, at which the state is told', async () => {
    const events = say(400);
    await results(events.slice(-1));
    const timeline = world.timeline(room);
    expect(timeline.at(-1)).toBe(events.at(-1)?.eventId);
    expect(peer.asked('get_missing_events')).toBeLessThanOrEqual(5);
    expect(peer.asked('state')).toBeLessThanOrEqual(2);
    const first = events.find(({ eventId }) => world.verdict(eventId) === 'accepted' && isBehindGap(eventId));
    expect(first).toBeDefined();
    expect(world.state(room)).toEqual(room.ids(room.currentState()));
    expect(world.verify()).toEqual([]);
  });

  test('that their server does not give, though asked, are no ground for an event: it is dropped', async () => {
    const [hidden, event] = say(2) as [RoomEvent, RoomEvent];
    peer.hidden.add(hidden.eventId);
    expect(await results([event])).toEqual({ [event.eventId]: { error: expect.any(String) } });
    expect([world.verdict(event.eventId), peer.asked('state')]).toEqual(['unknown', 0]);
    peer.hidden.clear();
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect(world.timeline(room).slice(-2)).toEqual([hidden.eventId, event.eventId]);
  });

  test('of a server that does not answer leave the event staged, and it comes through when it does', async () => {
    const [, event] = say(2) as [RoomEvent, RoomEvent];
    peer.scripts.set('get_missing_events', (_request, _url, response) => void response.destroy());
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect([world.verdict(event.eventId), world.staged()]).toEqual(['unknown', 1]);
    peer.scripts.clear();
    await until(() => world.verdict(event.eventId) === 'accepted');
    await until(() => world.staged() === 0);
  });

  test('are asked of other servers in the room when the sender has none', async () => {
    const other = await world.peer('other.test');
    room.join(other.user('olga'));
    await world.take(room);
    other.rooms.set(room.roomId, room);
    const [missing, event] = say(2) as [RoomEvent, RoomEvent];
    peer.hidden.add(missing.eventId);
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect(world.timeline(room).slice(-2)).toEqual([missing.eventId, event.eventId]);
    expect(other.asked('get_missing_events')).toBe(1);
    await other[Symbol.asyncDispose]();
  });

  test('are not taken when nobody asked for them, or their signatures are wrong', async () => {
    const [missing, event, unrelated] = [
      room.message(pat, 'missing'),
      room.message(pat, 'event'),
      room.message(pat, 'unrelated'),
    ];
    const forged = { ...missing.pdu, signatures: unrelated.pdu['signatures'] ?? {} };
    peer.scripts.set('get_missing_events', () => ({ events: [forged, unrelated.pdu] }));
    expect(await results([event])).toEqual({ [event.eventId]: { error: expect.any(String) } });
    expect([missing, event, unrelated].map(({ eventId }) => world.verdict(eventId))).toEqual(
      Array.from({ length: 3 }, () => 'unknown'),
    );
  });

  test('with a state key of too many bytes but not too many characters are rejected in versions 1 to 10, not dropped', async () => {
    const old = await world.peerWithRoom('old.test', '10');
    const key = '\u{1f4a5}'.repeat(70);
    const tip = old.room.events.at(-1) as RoomEvent;
    const serverName = old.peer.name;
    const signer = { serverName, keyId: 'ed25519:test', key: keyOf(serverName) };
    const plain = old.room.make({ type: 'org.example.state', sender: old.pat, stateKey: 'x', content: {} });
    const unsigned = { ...plain.pdu, state_key: key, signatures: {} } as unknown as Pdu;
    const hashes = { sha256: contentHash(unsigned, old.room.rules) };
    const long = signEvent(toRoomEvent({ ...unsigned, hashes } as Pdu, old.room.rules), old.room.rules, signer);
    const auth = old.room.make({ type: 'm.room.message', sender: old.pat, content: {} }).authEvents;
    const event = buildEvent({
      ...{ rules: old.room.rules, ...signer, prevEvents: [long.eventId], authEvents: auth, depth: 9 },
      proto: { type: 'm.room.message', sender: old.pat, content: { body: 'on it' }, room_id: old.room.roomId },
      originServerTs: tip.originServerTs + 5,
    });
    old.peer.scripts.set('get_missing_events', () => ({ events: [long.pdu] }));
    expect((await world.send(serverName, [event])).json.pdus).toEqual({ [event.eventId]: {} });
    expect([long, event].map(({ eventId }) => world.verdict(eventId))).toEqual(['rejected', 'accepted']);
    expect(world.verify()).toEqual([]);
    await old.peer[Symbol.asyncDispose]();
  });

  test('that form a cycle, as versions 1 and 2 allow, are dropped, and others go on', async () => {
    const old = await world.peerWithRoom('old.test', '1');
    const ids = ['$x:old.test', '$y:old.test'] as const;
    const [x, y] = [named(old.room, ids[0], [ids[1]]), named(old.room, ids[1], [ids[0]])];
    const child = named(old.room, '$z:old.test', [ids[0]]);
    old.peer.scripts.set('get_missing_events', () => ({ events: [x.pdu, y.pdu] }));
    await world.send(old.peer.name, [child, x, y]);
    expect([x, y, child].map(({ eventId }) => world.verdict(eventId))).toEqual(['unknown', 'unknown', 'unknown']);
    const good = old.room.message(old.pat, 'good');
    expect((await world.send(old.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    await old.peer[Symbol.asyncDispose]();
  });
});

/** An event of versions 1 and 2 with an id and prev events of the test's own, signed by its server. */
function named(of: SignedRoom, eventId: string, prev: readonly string[]): RoomEvent {
  const draft = of.make({ type: 'm.room.message', sender: of.creator, content: { body: eventId } });
  const serverName = of.creator.slice(of.creator.indexOf(':') + 1) as ServerName;
  const sha256 = 'A'.repeat(43);
  const id = eventId.replace('old.test', serverName);
  const { signatures: _signatures, hashes: _hashes, ...bare } = draft.pdu;
  const prevEvents = prev.map((cited) => [cited.replace('old.test', serverName), { sha256 }]);
  const pdu = { ...bare, event_id: id, prev_events: prevEvents, hashes: { sha256 }, signatures: {} } as unknown as Pdu;
  const signer = { serverName, keyId: 'ed25519:test', key: keyOf(serverName) };
  return signEvent(toRoomEvent(pdu, of.rules), of.rules, signer);
}

describe('the state at a gap', () => {
  /** Two messages of which the first is all that the server gives between; `gap` is what lies behind. */
  function gapAt(gap: RoomEvent): { pulled: RoomEvent; event: RoomEvent } {
    const pulled = room.message(pat, 'pulled', [gap.eventId]);
    const event = room.message(pat, 'event', [pulled.eventId]);
    peer.scripts.set('get_missing_events', () => ({ events: [pulled.pdu] }));
    return { pulled, event };
  }

  test('is told at the missing event and resolved with what is known', async () => {
    const tip = room.events.at(-1) as RoomEvent;
    const named = room.say({ type: 'm.room.name', sender: pat, stateKey: '', content: { name: 'here' } });
    await world.take(room);
    const topic = room.say({
      type: 'm.room.topic',
      sender: pat,
      stateKey: '',
      content: { topic: 'x' },
      prev: [tip.eventId],
    });
    const gap = room.say({
      type: 'm.room.avatar',
      sender: pat,
      stateKey: '',
      content: { url: 'mxc://a/b' },
      prev: [topic.eventId],
    });
    const { pulled, event } = gapAt(gap);
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect(
      peer.peer.requests
        .filter(({ url }) => url.includes('/state_ids/'))
        .map(({ url }) => new URL(url, 'https://x').searchParams.get('event_id')),
    ).toEqual([gap.eventId]);
    expect(world.state(room)).toEqual(room.ids(room.currentState()));
    expect(world.state(room)).toMatchObject({
      'm.room.name|': named.eventId,
      'm.room.topic|': topic.eventId,
      'm.room.avatar|': gap.eventId,
    });
    expect([gap, pulled].map(({ eventId }) => world.verdict(eventId))).toEqual(['outlier', 'accepted']);
    expect(isBehindGap(pulled.eventId)).toBe(true);
    expect(world.verify()).toEqual([]);
  });

  test('INVARIANTS 11: an outlier that comes live later gets a Position then', async () => {
    const tip = room.events.at(-1) as RoomEvent;
    const gap = room.say({ type: 'm.room.topic', sender: pat, stateKey: '', content: { topic: 'x' } });
    const { pulled, event } = gapAt(gap);
    await results([event]);
    expect(world.timeline(room)).not.toContain(gap.eventId);
    await results([gap]);
    expect(world.timeline(room).slice(-3)).toEqual([pulled.eventId, event.eventId, gap.eventId]);
    expect(world.state(room)['m.room.topic|']).toBe(gap.eventId);
    expect(tip.eventId).not.toBe(gap.eventId);
    expect(world.verify()).toEqual([]);
  });

  test('that leaves out what stands in the way of the liar changes nothing here', async () => {
    const evil = peer.user('evil');
    const joined = room.join(evil);
    await world.take(room);
    // The state that it tells has neither power levels nor join rules but its own.
    const stateOf = room.ids(room.currentState());
    const create = stateOf['m.room.create|'] as string;
    const levels = room.make({
      type: 'm.room.power_levels',
      sender: evil,
      stateKey: '',
      content: { users: { [evil]: 100 } },
      auth: [joined.eventId],
    });
    const lie = fork(evil, 'm.room.message', { body: 'gap' }, [joined.eventId], [levels.eventId, joined.eventId]);
    const pulled = fork(evil, 'm.room.message', { body: 'd' }, [lie.eventId], [levels.eventId, joined.eventId]);
    const event = fork(evil, 'm.room.message', { body: 'e' }, [pulled.eventId], [levels.eventId, joined.eventId]);
    const own = new Map([levels, lie, pulled].map((each) => [each.eventId as string, each]));
    peer.scripts.set('get_missing_events', () => ({ events: [pulled.pdu] }));
    peer.scripts.set('state_ids', () => ({
      pdu_ids: [create, joined.eventId, levels.eventId],
      auth_chain_ids: [create, joined.eventId],
    }));
    peer.scripts.set('event', (_request, url) => {
      const found = own.get(decodeURIComponent(url.pathname.split('/').at(-1) ?? ''));
      return found && { origin: peer.name, origin_server_ts: 0, pdus: [found.pdu] };
    });
    await results([event]);
    const state = world.state(room);
    expect(state['m.room.power_levels|']).toBe(stateOf['m.room.power_levels|']);
    expect(state['m.room.join_rules|']).toBe(stateOf['m.room.join_rules|']);
    expect(world.verify()).toEqual([]);
  });

  test('that nobody tells leaves the events waiting, and is told later', async () => {
    const gap = room.message(pat, 'gap');
    const { pulled, event } = gapAt(gap);
    peer.scripts.set('state_ids', (_request, _url, response) => void response.writeHead(500).end());
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect(world.verdict(pulled.eventId)).toBe('unknown');
    peer.scripts.delete('state_ids');
    await until(() => world.verdict(event.eventId) === 'accepted');
  });

  test('of which most is missing comes in one answer', async () => {
    for (let n = 0; n < 150; n += 1)
      room.say({ type: 'org.example.state', sender: pat, stateKey: String(n), content: {} });
    const gap = room.message(pat, 'gap');
    const { event } = gapAt(gap);
    await results([event]);
    await until(() => world.verdict(event.eventId) === 'accepted');
    expect(world.state(room)).toEqual(room.ids(room.currentState()));
    expect(peer.peer.requests.filter(({ url }) => url.includes('/v1/state/'))).toHaveLength(1);
    expect(peer.asked('event/')).toBeLessThan(10);
  });
});

/** A signed event on prev and auth events of the test's own. */
function fork(
  sender: string,
  type: string,
  content: JsonObject,
  prevEvents: readonly string[],
  authEvents: readonly string[],
  stateKey?: string,
): RoomEvent {
  const serverName = sender.slice(sender.indexOf(':') + 1) as ServerName;
  return buildEvent({
    rules: room.rules,
    serverName,
    keyId: 'ed25519:test',
    key: keyOf(serverName),
    proto: { type, sender, content, room_id: room.roomId, state_key: stateKey },
    prevEvents: prevEvents as EventId[],
    authEvents: authEvents as EventId[],
    depth: 50,
    originServerTs: 1_700_000_001_000,
  });
}

describe('missing auth events', () => {
  test('INVARIANTS 9: are stored before what cites them; without them an event stays staged, neither stored nor rejected', async () => {
    const tip = room.events.at(-1) as RoomEvent;
    const member = fork(
      pat,
      'm.room.member',
      { membership: 'join', displayname: 'P' },
      [tip.eventId],
      authOf(pat),
      pat,
    );
    const event = fork(
      pat,
      'm.room.message',
      { body: 'x' },
      [tip.eventId],
      [...authOf(pat).filter((id) => !isMemberOf(id)), member.eventId],
    );
    peer.scripts.set('event', () => undefined);
    peer.scripts.set('event_auth', (_request, _url, response) => void response.writeHead(404).end('{}'));
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect([world.verdict(event.eventId), world.staged()]).toEqual(['unknown', 1]);
    peer.scripts.delete('event_auth');
    peer.scripts.set('event', (_request, url) =>
      url.pathname.endsWith(encodeURIComponent(member.eventId)) ? { pdus: [member.pdu] } : undefined,
    );
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect(world.verdict(member.eventId)).toBe('outlier');
    expect(world.verdict(event.eventId)).toBe('accepted');
    expect(world.verify()).toEqual([]);
  });

  test('without end are not followed for ever, and other rooms go on', async () => {
    const tip = room.events.at(-1) as RoomEvent;
    let made = 0;
    let chain = fork(
      pat,
      'm.room.member',
      { membership: 'join', n: 0 },
      [tip.eventId],
      ['$nowhere', ...authOf(pat)],
      pat,
    );
    const event = fork(pat, 'm.room.message', { body: 'x' }, [tip.eventId], [chain.eventId]);
    // Each event that it is asked for cites another one that nobody has.
    const known = new Map<string, RoomEvent>([[chain.eventId, chain]]);
    peer.scripts.set('event', (_request, url) => {
      const found = known.get(decodeURIComponent(url.pathname.split('/').at(-1) ?? ''));
      made += 1;
      return found && { pdus: [found.pdu] };
    });
    peer.scripts.set('event_auth', () => {
      const events: unknown[] = [];
      for (let n = 0; n < 300; n += 1) {
        chain = fork(pat, 'm.room.member', { membership: 'join', n: (made += 1) }, [tip.eventId], [chain.eventId], pat);
        events.push(chain.pdu);
      }
      return { auth_chain: events };
    });
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect(world.verdict(event.eventId)).toBe('unknown');
    expect(peer.asked('event')).toBeLessThan(50);
    const other = await world.peerWithRoom('other.test');
    const good = other.room.message(other.pat, 'good');
    expect((await world.send(other.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    await other.peer[Symbol.asyncDispose]();
  });

  test('that are rejected make what cites them rejected', async () => {
    const tip = room.events.at(-1) as RoomEvent;
    const stranger = peer.user('stranger');
    const levels = fork(stranger, 'm.room.power_levels', { users: {} }, [tip.eventId], authOf(pat), '');
    const event = fork(
      pat,
      'm.room.message',
      { body: 'x' },
      [tip.eventId],
      [levels.eventId, ...authOf(pat).filter(isMemberOf)],
    );
    peer.scripts.set('event', (_request, url) =>
      url.pathname.endsWith(encodeURIComponent(levels.eventId)) ? { pdus: [levels.pdu] } : undefined,
    );
    await results([event]);
    expect([levels, event].map(({ eventId }) => world.verdict(eventId))).toEqual(['rejected outlier', 'rejected']);
  });
});

/** Auth events of a message of somebody, from the room's current state. */
function authOf(user: string): string[] {
  const state = room.ids(room.currentState());
  return [state['m.room.power_levels|'], state[`m.room.member|${user}`]].filter((id) => id !== undefined);
}
const isMemberOf = (id: string): boolean => room.event(room.nid(id))?.type === 'm.room.member';

describe('servers that answer badly', () => {
  test('INVARIANTS 3: one that never answers holds neither other rooms nor what our users do in this one', async () => {
    peer.scripts.set('get_missing_events', () => hang);
    const [, event] = say(2) as [RoomEvent, RoomEvent];
    const sent = world.send(peer.name, [event]);
    await until(() => peer.asked('get_missing_events') === 1);
    const other = await world.peerWithRoom('other.test');
    const good = other.room.message(other.pat, 'good');
    expect((await world.send(other.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    const known = world.rooms.read((snapshot) => world.rooms.core.room(snapshot, room.roomId));
    if (known === undefined) throw new Error('no room');
    const own = await world.rooms.send(known, { type: 'm.room.message', sender: alice, content: { body: 'mine' } });
    expect(world.timeline(room).at(-1)).toBe(own.eventId);
    // The answer does not wait for the verdict for ever.
    expect((await sent).json.pdus).toEqual({ [event.eventId]: {} });
    await other.peer[Symbol.asyncDispose]();
  });

  test('a truncated answer is none, and another server is asked', async () => {
    const other = await world.peer('other.test');
    room.join(other.user('olga'));
    await world.take(room);
    other.rooms.set(room.roomId, room);
    peer.scripts.set('get_missing_events', (_request, _url, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"events":[{"type":"m.room.me');
    });
    const [missing, event] = say(2) as [RoomEvent, RoomEvent];
    expect(await results([event])).toEqual({ [event.eventId]: {} });
    expect(world.timeline(room).slice(-2)).toEqual([missing.eventId, event.eventId]);
    await other[Symbol.asyncDispose]();
  });

  test('one that sends thousands of events of no worth fills nothing and holds no other room', async () => {
    const other = await world.peerWithRoom('other.test');
    const template = room.make({ type: 'm.room.message', sender: pat, content: { body: 'junk' } });
    const junk = (n: number): string => {
      const { signatures, ...pdu } = template.pdu;
      const base = { ...pdu, origin_server_ts: n, prev_events: [`$${'x'.repeat(39)}${n}`] };
      if (n % 3 === 0) return JSON.stringify(base);
      return JSON.stringify(n % 3 === 1 ? { ...base, signatures } : { ...base, signatures, depth: 'deep' });
    };
    const flood = Promise.all(
      Array.from({ length: 40 }, (_, turn) =>
        world.send(
          peer.name,
          Array.from({ length: 50 }, (_, n) => junk(10_000 + turn * 50 + n)),
        ),
      ),
    );
    const good = other.room.message(other.pat, 'good');
    expect((await world.send(other.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    const statuses = new Set((await flood).map(({ status }) => status));
    // It may be told to come later, and nothing else happens.
    for (const status of statuses) expect([200, 429]).toContain(status);
    expect([world.staged(), peer.asked('get_missing_events')]).toEqual([0, 0]);
    expect(await results([room.message(pat, 'fine')])).toEqual({ [room.events.at(-1)?.eventId ?? '']: {} });
    await other.peer[Symbol.asyncDispose]();
  });
});
