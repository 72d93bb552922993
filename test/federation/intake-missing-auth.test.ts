/** Missing auth events of received events, and servers that answer badly when they are asked for what is missing (S-S API v1.19 §PDUs). */
import { describe, expect, test } from '@jest/globals';
import { type RoomEvent } from '../../src/matrix/pdu.ts';
import { useIntake } from '../support/intake-scene.ts';
import { alice, until } from '../support/intake.ts';
import { hang } from '../support/room-peer.ts';

const scene = useIntake();

const isMemberOf = (id: string): boolean => scene.room.event(scene.room.nid(id))?.type === 'm.room.member';

describe('missing auth events', () => {
  test('INVARIANTS 9: are stored before what cites them; without them an event stays staged, neither stored nor rejected', async () => {
    const tip = scene.room.events.at(-1) as RoomEvent;
    const member = scene.fork(
      scene.pat,
      'm.room.member',
      { membership: 'join', displayname: 'P' },
      [tip.eventId],
      scene.authOf(scene.pat),
      scene.pat,
    );
    const event = scene.fork(
      scene.pat,
      'm.room.message',
      { body: 'x' },
      [tip.eventId],
      [...scene.authOf(scene.pat).filter((id) => !isMemberOf(id)), member.eventId],
    );
    scene.peer.scripts.set('event', () => undefined);
    scene.peer.scripts.set('event_auth', (_request, _url, response) => void response.writeHead(404).end('{}'));
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect([scene.world.verdict(event.eventId), scene.world.staged()]).toEqual(['unknown', 1]);
    scene.peer.scripts.delete('event_auth');
    scene.peer.scripts.set('event', (_request, url) =>
      url.pathname.endsWith(encodeURIComponent(member.eventId)) ? { pdus: [member.pdu] } : undefined,
    );
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect(scene.world.verdict(member.eventId)).toBe('outlier');
    expect(scene.world.verdict(event.eventId)).toBe('accepted');
    expect(scene.world.verify()).toEqual([]);
  });

  test('without end are not followed for ever, and other rooms go on', async () => {
    const tip = scene.room.events.at(-1) as RoomEvent;
    let made = 0;
    let chain = scene.fork(
      scene.pat,
      'm.room.member',
      { membership: 'join', n: 0 },
      [tip.eventId],
      ['$nowhere', ...scene.authOf(scene.pat)],
      scene.pat,
    );
    const event = scene.fork(scene.pat, 'm.room.message', { body: 'x' }, [tip.eventId], [chain.eventId]);
    // Each event that it is asked for cites another one that nobody has.
    const known = new Map<string, RoomEvent>([[chain.eventId, chain]]);
    scene.peer.scripts.set('event', (_request, url) => {
      const found = known.get(decodeURIComponent(url.pathname.split('/').at(-1) ?? ''));
      made += 1;
      return found && { pdus: [found.pdu] };
    });
    scene.peer.scripts.set('event_auth', () => {
      const events: unknown[] = [];
      for (let n = 0; n < 300; n += 1) {
        chain = scene.fork(
          scene.pat,
          'm.room.member',
          { membership: 'join', n: (made += 1) },
          [tip.eventId],
          [chain.eventId],
          scene.pat,
        );
        events.push(chain.pdu);
      }
      return { auth_chain: events };
    });
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect(scene.world.verdict(event.eventId)).toBe('unknown');
    expect(scene.peer.asked('event')).toBeLessThan(50);
    const other = await scene.world.peerWithRoom('other.test');
    const good = other.room.message(other.pat, 'good');
    expect((await scene.world.send(other.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    await other.peer[Symbol.asyncDispose]();
  });

  test('that are rejected make what cites them rejected', async () => {
    const tip = scene.room.events.at(-1) as RoomEvent;
    const stranger = scene.peer.user('stranger');
    const levels = scene.fork(
      stranger,
      'm.room.power_levels',
      { users: {} },
      [tip.eventId],
      scene.authOf(scene.pat),
      '',
    );
    const event = scene.fork(
      scene.pat,
      'm.room.message',
      { body: 'x' },
      [tip.eventId],
      [levels.eventId, ...scene.authOf(scene.pat).filter(isMemberOf)],
    );
    scene.peer.scripts.set('event', (_request, url) =>
      url.pathname.endsWith(encodeURIComponent(levels.eventId)) ? { pdus: [levels.pdu] } : undefined,
    );
    await scene.results([event]);
    expect([levels, event].map(({ eventId }) => scene.world.verdict(eventId))).toEqual([
      'rejected outlier',
      'rejected',
    ]);
  });
});

describe('servers that answer badly', () => {
  test('INVARIANTS 3: one that never answers holds neither other rooms nor what our users do in this one', async () => {
    scene.peer.scripts.set('get_missing_events', () => hang);
    const [, event] = scene.say(2) as [RoomEvent, RoomEvent];
    const sent = scene.world.send(scene.peer.name, [event]);
    await until(() => scene.peer.asked('get_missing_events') === 1);
    const other = await scene.world.peerWithRoom('other.test');
    const good = other.room.message(other.pat, 'good');
    expect((await scene.world.send(other.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    const known = scene.world.rooms.read((snapshot) => scene.world.rooms.core.room(snapshot, scene.room.roomId));
    if (known === undefined) throw new Error('no room');
    const own = await scene.world.rooms.send(known, {
      type: 'm.room.message',
      sender: alice,
      content: { body: 'mine' },
    });
    expect(scene.world.timeline(scene.room).at(-1)).toBe(own.eventId);
    // The answer does not wait for the verdict for ever.
    expect((await sent).json.pdus).toEqual({ [event.eventId]: {} });
    await other.peer[Symbol.asyncDispose]();
  });

  test('a truncated answer is none, and another server is asked', async () => {
    const other = await scene.world.peer('other.test');
    scene.room.join(other.user('olga'));
    await scene.world.take(scene.room);
    other.rooms.set(scene.room.roomId, scene.room);
    scene.peer.scripts.set('get_missing_events', (_request, _url, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"events":[{"type":"m.room.me');
    });
    const [missing, event] = scene.say(2) as [RoomEvent, RoomEvent];
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect(scene.world.timeline(scene.room).slice(-2)).toEqual([missing.eventId, event.eventId]);
    await other[Symbol.asyncDispose]();
  });

  test('one that sends thousands of events of no worth fills nothing and holds no other room', async () => {
    const other = await scene.world.peerWithRoom('other.test');
    const template = scene.room.make({ type: 'm.room.message', sender: scene.pat, content: { body: 'junk' } });
    const junk = (n: number): string => {
      const { signatures, ...pdu } = template.pdu;
      const base = { ...pdu, origin_server_ts: n, prev_events: [`$${'x'.repeat(39)}${n}`] };
      if (n % 3 === 0) return JSON.stringify(base);
      return JSON.stringify(n % 3 === 1 ? { ...base, signatures } : { ...base, signatures, depth: 'deep' });
    };
    const flood = Promise.all(
      Array.from({ length: 40 }, (_, turn) =>
        scene.world.send(
          scene.peer.name,
          Array.from({ length: 50 }, (_, n) => junk(10_000 + turn * 50 + n)),
        ),
      ),
    );
    const good = other.room.message(other.pat, 'good');
    expect((await scene.world.send(other.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
    const statuses = new Set((await flood).map(({ status }) => status));
    // It may be told to come later, and nothing else happens.
    for (const status of statuses) expect([200, 429]).toContain(status);
    expect([scene.world.staged(), scene.peer.asked('get_missing_events')]).toEqual([0, 0]);
    expect(await scene.results([scene.room.message(scene.pat, 'fine')])).toEqual({
      [scene.room.events.at(-1)?.eventId ?? '']: {},
    });
    await other.peer[Symbol.asyncDispose]();
  });
});
