/** The state at a gap in front of received events (S-S API v1.19 §Retrieving events). */
import { describe, expect, test } from '@jest/globals';
import { type RoomEvent } from '../../src/matrix/pdu.ts';
import { useIntake } from '../support/intake-scene.ts';
import { until } from '../support/intake.ts';

const scene = useIntake();

describe('the state at a gap', () => {
  /** Two messages of which the first is all that the server gives between; `gap` is what lies behind. */
  function gapAt(gap: RoomEvent): { pulled: RoomEvent; event: RoomEvent } {
    const pulled = scene.room.message(scene.pat, 'pulled', [gap.eventId]);
    const event = scene.room.message(scene.pat, 'event', [pulled.eventId]);
    scene.peer.scripts.set('get_missing_events', () => ({ events: [pulled.pdu] }));
    return { pulled, event };
  }

  test('is told at the missing event and resolved with what is known', async () => {
    const tip = scene.room.events.at(-1) as RoomEvent;
    const named = scene.room.say({ type: 'm.room.name', sender: scene.pat, stateKey: '', content: { name: 'here' } });
    await scene.world.take(scene.room);
    const topic = scene.room.say({
      type: 'm.room.topic',
      sender: scene.pat,
      stateKey: '',
      content: { topic: 'x' },
      prev: [tip.eventId],
    });
    const gap = scene.room.say({
      type: 'm.room.avatar',
      sender: scene.pat,
      stateKey: '',
      content: { url: 'mxc://a/b' },
      prev: [topic.eventId],
    });
    const { pulled, event } = gapAt(gap);
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect(
      scene.peer.peer.requests
        .filter(({ url }) => url.includes('/state_ids/'))
        .map(({ url }) => new URL(url, 'https://x').searchParams.get('event_id')),
    ).toEqual([gap.eventId]);
    expect(scene.world.state(scene.room)).toEqual(scene.room.ids(scene.room.currentState()));
    expect(scene.world.state(scene.room)).toMatchObject({
      'm.room.name|': named.eventId,
      'm.room.topic|': topic.eventId,
      'm.room.avatar|': gap.eventId,
    });
    expect([gap, pulled].map(({ eventId }) => scene.world.verdict(eventId))).toEqual(['outlier', 'accepted']);
    expect(scene.isBehindGap(pulled.eventId)).toBe(true);
    expect(scene.world.verify()).toEqual([]);
  });

  test('INVARIANTS 11: an outlier that comes live later gets a Position then', async () => {
    const tip = scene.room.events.at(-1) as RoomEvent;
    const gap = scene.room.say({ type: 'm.room.topic', sender: scene.pat, stateKey: '', content: { topic: 'x' } });
    const { pulled, event } = gapAt(gap);
    await scene.results([event]);
    expect(scene.world.timeline(scene.room)).not.toContain(gap.eventId);
    await scene.results([gap]);
    expect(scene.world.timeline(scene.room).slice(-3)).toEqual([pulled.eventId, event.eventId, gap.eventId]);
    expect(scene.world.state(scene.room)['m.room.topic|']).toBe(gap.eventId);
    expect(tip.eventId).not.toBe(gap.eventId);
    expect(scene.world.verify()).toEqual([]);
  });

  test('that leaves out what stands in the way of the liar changes nothing here', async () => {
    const evil = scene.peer.user('evil');
    const joined = scene.room.join(evil);
    await scene.world.take(scene.room);
    // The state that it tells has neither power levels nor join rules but its own.
    const stateOf = scene.room.ids(scene.room.currentState());
    const create = stateOf['m.room.create|'] as string;
    const levels = scene.room.make({
      type: 'm.room.power_levels',
      sender: evil,
      stateKey: '',
      content: { users: { [evil]: 100 } },
      auth: [joined.eventId],
    });
    const lie = scene.fork(evil, 'm.room.message', { body: 'gap' }, [joined.eventId], [levels.eventId, joined.eventId]);
    const pulled = scene.fork(evil, 'm.room.message', { body: 'd' }, [lie.eventId], [levels.eventId, joined.eventId]);
    const event = scene.fork(evil, 'm.room.message', { body: 'e' }, [pulled.eventId], [levels.eventId, joined.eventId]);
    const own = new Map([levels, lie, pulled].map((each) => [each.eventId as string, each]));
    scene.peer.scripts.set('get_missing_events', () => ({ events: [pulled.pdu] }));
    scene.peer.scripts.set('state_ids', () => ({
      pdu_ids: [create, joined.eventId, levels.eventId],
      auth_chain_ids: [create, joined.eventId],
    }));
    scene.peer.scripts.set('event', (_request, url) => {
      const found = own.get(decodeURIComponent(url.pathname.split('/').at(-1) ?? ''));
      return found && { origin: scene.peer.name, origin_server_ts: 0, pdus: [found.pdu] };
    });
    await scene.results([event]);
    const state = scene.world.state(scene.room);
    expect(state['m.room.power_levels|']).toBe(stateOf['m.room.power_levels|']);
    expect(state['m.room.join_rules|']).toBe(stateOf['m.room.join_rules|']);
    expect(scene.world.verify()).toEqual([]);
  });

  test('that nobody tells leaves the events waiting, and is told later', async () => {
    const gap = scene.room.message(scene.pat, 'gap');
    const { pulled, event } = gapAt(gap);
    scene.peer.scripts.set('state_ids', (_request, _url, response) => void response.writeHead(500).end());
    expect(await scene.results([event])).toEqual({ [event.eventId]: {} });
    expect(scene.world.verdict(pulled.eventId)).toBe('unknown');
    scene.peer.scripts.delete('state_ids');
    await until(() => scene.world.verdict(event.eventId) === 'accepted');
  });

  test('of which most is missing comes in one answer', async () => {
    for (let n = 0; n < 150; n += 1)
      scene.room.say({ type: 'org.example.state', sender: scene.pat, stateKey: String(n), content: {} });
    const gap = scene.room.message(scene.pat, 'gap');
    const { event } = gapAt(gap);
    await scene.results([event]);
    await until(() => scene.world.verdict(event.eventId) === 'accepted');
    expect(scene.world.state(scene.room)).toEqual(scene.room.ids(scene.room.currentState()));
    expect(scene.peer.peer.requests.filter(({ url }) => url.includes('/v1/state/'))).toHaveLength(1);
    expect(scene.peer.asked('event/')).toBeLessThan(10);
  });
});
