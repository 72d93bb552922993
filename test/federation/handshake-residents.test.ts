import { describe, expect, test } from '@jest/globals';
import type { EventId } from '../../src/matrix/ids.ts';
import { eventTemplate } from '../../src/matrix/event-builder.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Answer } from '../support/client.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { joinBy, stateBy } from '../support/rooms-between.ts';
import { useVisited } from '../support/neighbours.ts';

const { peer: resident, alice } = useVisited({ set: { 'federation.partial_joins': 'false' } });
let rooms = 0;

interface Script {
  readonly template?: JsonObject;
  readonly made?: JsonObject;
  readonly answer?: (honest: JsonObject) => JsonObject;
}

/** A room of the scripted server, one of each version before 12, which lets anybody in as its script says; resolves with what the client was told. */
async function join(
  version: string,
  { template = {}, made = {}, answer = (honest) => honest }: Script = {},
): Promise<{
  readonly room: SignedRoom;
  readonly told: Answer;
}> {
  const room = SignedRoom.open(version, resident().user(`owner${rooms++}`));
  const user = alice().userId;
  const plan = room.build('$plan', {
    type: 'm.room.member',
    sender: user,
    stateKey: user,
    content: { membership: 'join' },
  });
  const cite = (eventId: EventId) =>
    room.rules.eventReferencesArePairs ? { eventId, pdu: room.event(room.nid(eventId))?.pdu } : eventId;
  const event = eventTemplate({
    rules: room.rules,
    proto: {
      type: 'm.room.member',
      sender: user,
      state_key: user,
      content: { membership: 'join' },
      room_id: room.roomId,
    },
    ...{ prevEvents: plan.prevEvents.map(cite), authEvents: plan.authEvents.map(cite) },
    ...{ depth: plan.depth, originServerTs: 0 },
  });
  resident().scripts.set('make_join', () => ({ room_version: version, event: { ...event, ...template }, ...made }));
  resident().scripts.set('send_join', () => {
    const state = Object.values(room.ids(room.currentState())).map((id) => room.event(room.nid(id))?.pdu ?? {});
    return answer({ state, auth_chain: room.events.map(({ pdu }) => pdu) });
  });
  return { room, told: await joinBy(alice(), room.roomId, [resident().name]) };
}

const pdusOf = (value: unknown): JsonObject[] => value as JsonObject[];
const isCreate = ({ type }: JsonObject): boolean => type === 'm.room.create';

describe('a resident server that', () => {
  test.each(['1', '6', '12'])('does as it should lets us into a room of version %s', async (version) => {
    const { room, told } = await join(version);
    expect(told.status).toBe(200);
    expect((await stateBy(alice(), room.roomId)).length).toBe(5);
  });

  test.each<[string, JsonObject]>([
    ['another room', { room_id: '!other:elsewhere.example' }],
    ['another user', { sender: '@other:elsewhere.example' }],
    ['another state key', { state_key: '@other:elsewhere.example' }],
    ['another type', { type: 'm.room.message' }],
    ['another membership', { content: { membership: 'leave' } }],
    ['references that are none', { prev_events: [1] }],
  ])('has us sign a template of %s gets no event', async (_what, template) => {
    const before = resident().asked('send_join');
    const { told } = await join('10', { template });
    expect([told.status, told.body.errcode]).toEqual([502, 'M_UNKNOWN']);
    expect(resident().asked('send_join')).toBe(before);
  });

  test('names a version that we have not asked for gets no event', async () => {
    const { told } = await join('10', { made: { room_version: 'unheard-of' } });
    expect([told.status, told.body.errcode]).toEqual([502, 'M_UNKNOWN']);
  });

  test('tells no create event does not get us into the room', async () => {
    const { told } = await join('10', {
      answer: (honest) => ({ ...honest, state: pdusOf(honest.state).filter((pdu) => !isCreate(pdu)) }),
    });
    expect([told.status, told.body.errcode]).toEqual([502, 'M_UNKNOWN']);
  });

  test('tells the state of another room does not get us into that', async () => {
    const other = SignedRoom.open('10', resident().user('other'));
    const { told } = await join('12', {
      answer: () => ({ state: other.events.map(({ pdu }) => pdu), auth_chain: [] }),
    });
    expect([told.status, told.body.errcode]).toEqual([502, 'M_UNKNOWN']);
  });

  test('tells events that it has not signed has them left out', async () => {
    const { room, told } = await join('9', {
      answer: (honest) => {
        const name = { ...pdusOf(honest.state)[0], type: 'm.room.name', content: { name: 'Forged' } };
        return { ...honest, state: [...pdusOf(honest.state), name] };
      },
    });
    expect(told.status).toBe(200);
    expect((await stateBy(alice(), room.roomId)).some((entry) => entry.startsWith('m.room.name'))).toBe(false);
  });

  test('tells a state that does not admit the join does not get us into the room', async () => {
    const { told } = await join('8', {
      answer: (honest) => ({
        ...honest,
        state: pdusOf(honest.state).filter(({ type }) => type === 'm.room.create'),
        auth_chain: pdusOf(honest.auth_chain).filter(({ type }) => type === 'm.room.create'),
      }),
    });
    expect([told.status, told.body.errcode]).toEqual([502, 'M_UNKNOWN']);
  });

  test('lies once does not keep us out for ever', async () => {
    const { room, told } = await join('7', { answer: () => ({ state: [], auth_chain: [] }) });
    expect(told.status).toBe(502);
    resident().scripts.set('send_join', () => {
      const state = room.events.map(({ pdu }) => pdu);
      return { state, auth_chain: [] };
    });
    expect((await joinBy(alice(), room.roomId, [resident().name])).status).toBe(200);
  });

  test('leaves members out unasked is not believed', async () => {
    const { told } = await join('11', {
      answer: (honest) => ({ ...honest, members_omitted: true, servers_in_room: [] }),
    });
    expect([told.status, told.body.errcode]).toEqual([502, 'M_UNKNOWN']);
  });
});
