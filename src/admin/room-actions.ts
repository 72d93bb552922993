/** What administrators do with a room that goes on: block it, take part in it, get power in it, mend its graph. */
import * as v from 'valibot';
import { demandRoomId, maybe, route, type Route } from '../http/index.ts';
import { levelToSend, powerLevelOf } from '../matrix/auth-power-levels.ts';
import { MatrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import { asObject, asString, memberOf } from '../matrix/json.ts';
import {
  blockedBy,
  blockRoom,
  currentContent,
  currentLevels,
  unblockRoom,
  type Perform,
  type Room,
  type RoomCore,
} from '../roomserver/index.ts';
import type { Database, Tx } from '../storage/index.ts';
import type { Accounts } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { knownRoom, localAccount, v1 } from './common.ts';

export interface RoomActionParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly accounts: Accounts;
  readonly clock: Clock;
}

const room = `${v1}/rooms/:roomId` as const;

export const roomActionRoutes = (parts: RoomActionParts): Route[] => [
  ...blockRoutes(parts),
  ...memberRoutes(parts),
  ...extremityRoutes(parts),
];

function blockRoutes({ db, clock }: RoomActionParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${room}/block`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => {
        const by = db.read((snapshot) => blockedBy(snapshot, demandRoomId(params.roomId)));
        return by === undefined ? { block: false } : { block: true, user_id: by };
      },
    }),
    route({
      method: 'PUT',
      path: `${room}/block`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ block: v.boolean() }),
      handle: ({ requester, params, body: { block } }) =>
        db.write((tx) => {
          const roomId = demandRoomId(params.roomId);
          if (block) blockRoom(tx, roomId, requester.userId, clock.now());
          else unblockRoom(tx, roomId);
          return { block };
        }),
    }),
  ];
}

function memberRoutes(parts: RoomActionParts): Route[] {
  const { db, perform } = parts;
  return [
    route({
      method: 'POST',
      path: `${v1}/join/:roomId`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ user_id: v.string() }),
      handle: ({ requester, params, body }) =>
        db.write((tx) => {
          const target = knownRoom(tx, parts, params.roomId);
          const { userId: user, kind } = localAccount(tx, parts, body.user_id);
          inviteIfNeeded(tx, parts, target, requester.userId, user);
          perform.joining.join(tx, { room: target, user, isGuest: kind === 'guest' });
          return { room_id: target.roomId };
        }),
    }),
    route({
      method: 'POST',
      path: `${room}/make_room_admin`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ user_id: maybe(v.string()) }),
      handle: ({ requester, params, body }) =>
        db.write((tx) => {
          const target = knownRoom(tx, parts, params.roomId);
          makeAdmin(tx, parts, target, localAccount(tx, parts, body.user_id ?? requester.userId).userId);
          return {};
        }),
    }),
  ];
}

/** Has the local member with most power give as much to a user. @throws M_UNKNOWN (400) when none here may */
function makeAdmin(tx: Tx, parts: RoomActionParts, target: Room, user: UserId): void {
  const { rooms } = parts;
  const levels = currentLevels(tx, rooms, target);
  const needed = levelToSend('m.room.power_levels', true, levels);
  const [giver] = rooms
    .joinedLocalUsers(tx, target.nid)
    .map((id) => ({ id, level: powerLevelOf(id, levels) }))
    .sort((a, b) => b.level - a.level);
  if (giver === undefined || giver.level < needed) {
    throw new MatrixError(400, 'M_UNKNOWN', 'No user of this server can give power in this room');
  }
  const level = Number.isFinite(giver.level) ? giver.level : Math.max(100, needed);
  if (powerLevelOf(user, levels) < level) {
    const content = currentContent(tx, rooms, target, 'm.room.power_levels') ?? {};
    const users = { ...asObject(content.users), [user]: level };
    const sent = { type: 'm.room.power_levels', stateKey: '', sender: giver.id, content: { ...content, users } };
    rooms.send(tx, target, sent);
  }
  inviteIfNeeded(tx, parts, target, giver.id, user);
}

/** Whom nothing lets in is invited, if the sender can. */
function inviteIfNeeded(tx: Tx, { rooms, perform }: RoomActionParts, target: Room, sender: UserId, user: UserId): void {
  const membership = rooms.membership(tx, target.nid, user)?.membership;
  const rule = asString(memberOf(currentContent(tx, rooms, target, 'm.room.join_rules'), 'join_rule'));
  if (membership === 'join' || membership === 'invite' || rule === 'public') return;
  perform.memberships.invite(tx, { room: target, sender, target: user });
}

/** More than this many rounds would not bring the graph together. */
const maxRounds = 10;

function extremityRoutes(parts: RoomActionParts): Route[] {
  const { db, rooms } = parts;
  const path = `${room}/forward_extremities` as const;
  return [
    route({
      method: 'GET',
      path,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) =>
        db.read((snapshot) => {
          const found = rooms.forwardExtremities(snapshot, knownRoom(snapshot, parts, params.roomId).nid);
          const results = found.map(({ eventId, depth, originServerTs }) => ({
            ...{ event_id: eventId, depth, received_ts: originServerTs, state_group: null },
          }));
          return { count: results.length, results };
        }),
    }),
    route({
      method: 'DELETE',
      path,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => db.write((tx) => ({ deleted: joinExtremities(tx, parts, params.roomId) })),
    }),
  ];
}

/** None is thrown away: an event that says nothing is built on all of them. Returns how many fewer there are. */
function joinExtremities(tx: Tx, parts: RoomActionParts, text: string): number {
  const { rooms } = parts;
  const target = knownRoom(tx, parts, text);
  const count = (): number => rooms.forwardExtremities(tx, target.nid).length;
  const before = count();
  if (before <= 1) return 0;
  const type = 'org.matrix.dummy_event';
  const levels = currentLevels(tx, rooms, target);
  const needed = levelToSend(type, false, levels);
  const sender = rooms.joinedLocalUsers(tx, target.nid).find((user) => powerLevelOf(user, levels) >= needed);
  if (sender === undefined) {
    throw new MatrixError(400, 'M_UNKNOWN', 'No user of this server can send to this room');
  }
  for (let round = 0; round < maxRounds && count() > 1; round += 1) {
    rooms.send(tx, target, { type, sender, content: {} });
  }
  return before - count();
}
