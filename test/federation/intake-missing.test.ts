/** Missing prev events of received events (S-S API v1.19 §PDUs, §Retrieving events). */
import { describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { buildEvent, signEvent } from '../../src/matrix/event-builder.ts';
import { contentHash, type Pdu, type RoomEvent, toRoomEvent } from '../../src/matrix/pdu.ts';
import { useIntake } from '../support/intake-scene.ts';
import { until } from '../support/intake.ts';
import { keyOf, type SignedRoom } from '../support/room-builder.ts';

const scene = useIntake();

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

describe('missing prev events', () => {
  test('INVARIANTS 12: are live, with Positions in topological order before their child', async () => {
    const events = scene.say(12);
    const last = events.at(-1) as RoomEvent;
    expect(await scene.results([last])).toEqual({ [last.eventId]: {} });
    expect(scene.world.timeline(scene.room).slice(-12)).toEqual(events.map(({ eventId }) => eventId));
    expect([scene.peer.asked('get_missing_events'), scene.peer.asked('state')]).toEqual([1, 0]);
    expect(scene.world.rooms.topics().filter((topic) => topic === 'room.event').length).toBeGreaterThanOrEqual(12);
    expect(scene.world.verify()).toEqual([]);
  });

  test('of a longer gap come in several answers', async () => {
    const events = scene.say(50);
    await scene.results(events.slice(-1));
    expect(scene.world.timeline(scene.room).slice(-50)).toEqual(events.map(({ eventId }) => eventId));
    expect(scene.peer.asked('get_missing_events')).toBe(3);
  });

  test('of a very deep gap are not all fetched: behind the newest stays a gap, at which the state is told', async () => {
    const events = scene.say(400);
    await scene.results(events.slice(-1));
    const timeline = scene.world.timeline(scene.room);
    expect(timeline.at(-1)).toBe(events.at(-1)?.eventId);
    expect(scene.peer.asked('get_missing_events')).toBeLessThanOrEqual(5);
    expect(scene.peer.asked('state')).toBeLessThanOrEqual(2);
    const first = events.find(
      ({ eventId }) => scene.world.verdict(eventId) === 'accepted' && scene.isBehindGap(eventId),
    );
    expect(first).toBeDefined();
    expect(scene.world.state(scene.room)).toEqual(scene.room.ids(scene.room.currentState()));
    expect(scene.world.verify()).toEqual([]);
  });

  test('that their server does not give, though asked, are no ground for an event: it is dropped', async () => {
    const [hidden, event] = scene.say(2) as [RoomEvent, RoomEvent];
    scene.peer.hidden.add(hidden.eventId);
    expect(await scene.results([event])).toEqual({ [event.eventId]: { error: expect.any(String) } });
    expect([scene.world.verdict(event.eventId), scene.peer.asked('state')]).toEqual(['unknown', 0]);
    scene.peer.hidden.clear();
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect(scene.world.timeline(scene.room).slice(-2)).toEqual([hidden.eventId, event.eventId]);
  });

  test('of a server that does not answer leave the event staged, and it comes through when it does', async () => {
    const [, event] = scene.say(2) as [RoomEvent, RoomEvent];
    scene.peer.scripts.set('get_missing_events', (_request, _url, response) => void response.destroy());
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect([scene.world.verdict(event.eventId), scene.world.staged()]).toEqual(['unknown', 1]);
    scene.peer.scripts.clear();
    await until(() => scene.world.verdict(event.eventId) === 'accepted');
    await until(() => scene.world.staged() === 0);
  });

  test('are asked of other servers in the room when the sender has none', async () => {
    const other = await scene.world.peer('other.test');
    scene.room.join(other.user('olga'));
    await scene.world.take(scene.room);
    other.rooms.set(scene.room.roomId, scene.room);
    const [missing, event] = scene.say(2) as [RoomEvent, RoomEvent];
    scene.peer.hidden.add(missing.eventId);
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect(scene.world.timeline(scene.room).slice(-2)).toEqual([missing.eventId, event.eventId]);
    expect(other.asked('get_missing_events')).toBe(1);
    await other[Symbol.asyncDispose]();
  });

  test('are not taken when nobody asked for them, or their signatures are wrong', async () => {
    const [missing, event, unrelated] = [
      scene.room.message(scene.pat, 'missing'),
      scene.room.message(scene.pat, 'event'),
      scene.room.message(scene.pat, 'unrelated'),
    ];
    const forged = { ...missing.pdu, signatures: unrelated.pdu['signatures'] ?? {} };
    scene.peer.scripts.set('get_missing_events', () => ({ events: [forged, unrelated.pdu] }));
    expect(await scene.results([event])).toEqual({ [event.eventId]: { error: expect.any(String) } });
    expect([missing, event, unrelated].map(({ eventId }) => scene.world.verdict(eventId))).toEqual(
      Array.from({ length: 3 }, () => 'unknown'),
    );
  });

  test('with a state key of too many bytes but not too many characters are rejected in versions 1 to 10, not dropped', async () => {
    const old = await scene.world.peerWithRoom('old.test', '10');
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
    expect((await scene.world.send(serverName, [event])).json.pdus).toEqual({ [event.eventId]: {} });
    expect([long, event].map(({ eventId }) => scene.world.verdict(eventId))).toEqual(['rejected', 'accepted']);
    expect(scene.world.verify()).toEqual([]);
    await old.peer[Symbol.asyncDispose]();
  });

  test('that form a cycle, as versions 1 and 2 allow, are dropped, and others go on', async () => {
    const old = await scene.world.peerWithRoom('old.test', '1');
    const ids = ['$x:old.test', '$y:old.test'] as const;
    const [x, y] = [named(old.room, ids[0], [ids[1]]), named(old.room, ids[1], [ids[0]])];
    const child = named(old.room, '$z:old.test', [ids[0]]);
    old.peer.scripts.set('get_missing_events', () => ({ events: [x.pdu, y.pdu] }));
    await scene.world.send(old.peer.name, [child, x, y]);
    expect([x, y, child].map(({ eventId }) => scene.world.verdict(eventId))).toEqual(['unknown', 'unknown', 'unknown']);
    const good = old.room.message(old.pat, 'good');
    expect((await scene.world.send(old.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    await old.peer[Symbol.asyncDispose]();
  });
});
