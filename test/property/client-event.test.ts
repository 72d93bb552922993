import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { JsonObject } from '../../src/matrix/json.ts';
import { clientEvent, clientView, contentOf, type Room, type Sender } from '../../src/roomserver/index.ts';
import { startRoomServer, type RoomServer } from '../support/rooms.ts';

let server: RoomServer;
let room: Room;
let sender: Sender;
beforeAll(async () => {
  server = await startRoomServer();
  sender = { userId: server.alice.userId, isGuest: false, isAdmin: false, isSuspended: false };
  room = await server.db.write((tx) => server.perform.creation.create(tx, {}, sender));
});
afterAll(async () => server[Symbol.asyncDispose]());

// Names and values that look like what the text is cut at.
const trap = fc.constantFrom(
  'room_id',
  'origin_server_ts',
  'content',
  'type',
  ',"room_id":"',
  '","origin_server_ts":1,"room_id":"!x',
  '\\","room_id":"',
  '"}',
  'm.room.redaction',
);
const key = fc.oneof(trap, fc.string({ unit: 'grapheme', maxLength: 8 }));
const { content } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, trap, fc.integer(), fc.boolean(), fc.constant(null), tie('list'), tie('content')),
  list: fc.array(tie('value'), { maxLength: 3 }),
  content: fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
}));

test('what was sent is what is shown, with and without room id, as event and as what was replaced', async () => {
  let before: unknown;
  await fc.assert(
    fc.asyncProperty(content, trap, async (wish, stateKey) => {
      const state = { type: 'org.example.type', stateKey, content: wish as JsonObject };
      const event = await server.db.write((tx) => server.perform.sending.state(tx, room, state, sender));
      server.db.read((snapshot) => {
        const view = { userId: server.alice.userId, now: event.originServerTs + 5 };
        const whole = JSON.parse(clientEvent(snapshot, server.rooms, event, clientView(view)));
        expect(whole).toMatchObject({ type: state.type, state_key: stateKey, room_id: room.roomId });
        expect(whole.content).toEqual(wish);
        expect(contentOf(event)).toEqual(wish);
        const bare = clientEvent(snapshot, server.rooms, event, clientView({ ...view, withoutRoomId: true }));
        const { room_id: _roomId, ...rest } = whole;
        expect(JSON.parse(bare)).toEqual(rest);
        before = whole.unsigned.prev_content ?? before;
      });
    }),
    { numRuns: 100 },
  );
  expect(before).toBeDefined();
});
