/** Joining, leaving and knocking for users of other servers (S-S API v1.19 §Joining Rooms, §Knocking, §Leaving). */
import * as v from 'valibot';
import { JsonText, route, type RequestContext, type Route } from '../../http/index.ts';
import { authChain, pduTexts, type EventNid } from '../../roomserver/index.ts';
import type { Snapshot } from '../../storage/index.ts';
import { Residency, type ResidencyParts, type Taken, type Visitor } from '../residency.ts';

const v1 = '/_matrix/federation/v1';
const v2 = '/_matrix/federation/v2';
/** Members by whose names a room without one is called. */
const heroes = 5;

const oneOrMore = v.pipe(
  v.union([v.string(), v.array(v.string())]),
  v.transform((value) => (typeof value === 'string' ? [value] : value)),
);
const versionQuery = v.object({ ver: v.optional(oneOrMore) });
const joinQuery = v.object({ omit_members: v.optional(v.string()) });

export function residentRoutes(parts: ResidencyParts): Route[] {
  const residency = new Residency(parts);
  return [
    ...(['join', 'knock'] as const).map((membership) => makeRoute(residency, membership)),
    makeLeaveRoute(residency),
    ...sendJoinRoutes(parts, residency),
    sendKnockRoute(parts, residency),
    ...sendLeaveRoutes(residency),
  ];
}

const makeRoute = (residency: Residency, membership: 'join' | 'knock'): Route =>
  route({
    method: 'GET',
    path: `${v1}/make_${membership}/:roomId/:userId`,
    auth: 'server',
    rate: 'federation',
    query: versionQuery,
    handle: ({ origin, params, query }) =>
      // "Defaults to [1]."
      residency.template({ origin, roomId: params.roomId, membership }, params.userId, query.ver ?? ['1']),
  });

const makeLeaveRoute = (residency: Residency): Route =>
  route({
    method: 'GET',
    path: `${v1}/make_leave/:roomId/:userId`,
    auth: 'server',
    rate: 'federation',
    handle: ({ origin, params }) =>
      residency.template({ origin, roomId: params.roomId, membership: 'leave' }, params.userId, undefined),
  });

type Sent = Pick<
  RequestContext<'server', Record<'roomId' | 'eventId', string>, unknown, unknown>,
  'origin' | 'params' | 'bodyText'
>;

const take = (
  residency: Residency,
  membership: Visitor['membership'],
  { origin, params, bodyText }: Sent,
): Promise<Taken> =>
  residency.take({ origin, membership, roomId: params.roomId, eventId: params.eventId, text: bodyText });

function sendJoinRoutes(parts: ResidencyParts, residency: Residency): Route[] {
  const row = { method: 'PUT', auth: 'server', rate: 'federation' } as const;
  return [
    route({
      ...row,
      path: `${v2}/send_join/:roomId/:eventId`,
      query: joinQuery,
      handle: async (context) => {
        const omits = context.query.omit_members === 'true';
        return new JsonText(await joinAnswer(parts, await take(residency, 'join', context), omits));
      },
    }),
    route({
      ...row,
      path: `${v1}/send_join/:roomId/:eventId`,
      handle: async (context) => {
        const answer = await joinAnswer(parts, await take(residency, 'join', context), false);
        return new JsonText(['[200,', ...answer, ']']);
      },
    }),
  ];
}

/** The state before the join and everything that it stands on. */
async function joinAnswer(
  { db, rooms, serverName }: ResidencyParts,
  { room, event, servers }: Taken,
  omitsMembers: boolean,
): Promise<string[]> {
  const numbers = await db.snapshot(async (snapshot) => {
    const state = omitsMembers
      ? stateWithoutMembers(snapshot, rooms, event)
      : rooms.stateEntries(snapshot, event.snapshot).map((entry) => entry.event);
    const told = new Set(omitsMembers ? state : []);
    const chain = await authChain(snapshot, rooms, room, [...state, event.nid]);
    // "any events that are returned in `state` may be omitted from `auth_chain`"
    return { state, chain: chain.filter((nid) => !told.has(nid)) };
  });
  const list = (texts: readonly string[]): string[] => texts.map((text, at) => (at === 0 ? text : `,${text}`));
  const state = await pduTexts(db, rooms, numbers.state);
  const chain = await pduTexts(db, rooms, numbers.chain);
  const [own = ''] = await pduTexts(db, rooms, [event.nid]);
  const partial = omitsMembers ? `"members_omitted":true,"servers_in_room":${JSON.stringify(servers)},` : '';
  return [
    `{"origin":${JSON.stringify(serverName)},${partial}"event":${own},"state":[`,
    ...list(state),
    '],"auth_chain":[',
    ...list(chain),
    ']}',
  ];
}

/**
 * "If the room to be joined has no m.room.name nor m.room.canonical_alias events in its current state, the resident server
 * should … include these members' membership events": those of the heroes of its summary.
 */
function stateWithoutMembers(
  snapshot: Snapshot,
  rooms: ResidencyParts['rooms'],
  { snapshot: before, room, sender }: Taken['event'],
): EventNid[] {
  const entries = rooms.stateEntriesWithoutMembers(snapshot, before);
  const state = entries.map((entry) => entry.event);
  const names = new Set(['m.room.name', 'm.room.canonical_alias']);
  if (entries.some(({ type, stateKey }) => names.has(type) && stateKey === '')) return state;
  const first = (memberships: Parameters<typeof rooms.firstMembers>[2]) =>
    rooms.firstMembers(snapshot, room, memberships, heroes + 1).filter((user) => user !== sender);
  const present = first(['join', 'invite']);
  const named = (present.length > 0 ? present : first(['leave', 'ban'])).slice(0, heroes);
  const members = named.map((user) => rooms.stateEvent(snapshot, before, 'm.room.member', user));
  return [...state, ...members.filter((nid) => nid > 0)];
}

const sendKnockRoute = ({ db, rooms }: ResidencyParts, residency: Residency): Route =>
  route({
    method: 'PUT',
    path: `${v1}/send_knock/:roomId/:eventId`,
    auth: 'server',
    rate: 'federation',
    handle: async (context) => {
      const { room } = await take(residency, 'knock', context);
      const texts = db.read((snapshot) =>
        rooms.strippedEvents(snapshot, room.nid).map((nid) => rooms.pduText(snapshot, nid)),
      );
      return new JsonText([`{"knock_room_state":[${texts.join(',')}]}`]);
    },
  });

function sendLeaveRoutes(residency: Residency): Route[] {
  const row = { method: 'PUT', auth: 'server', rate: 'federation' } as const;
  return [
    route({
      ...row,
      path: `${v2}/send_leave/:roomId/:eventId`,
      handle: async (context) => {
        await take(residency, 'leave', context);
        return {};
      },
    }),
    route({
      ...row,
      path: `${v1}/send_leave/:roomId/:eventId`,
      handle: async (context) => {
        await take(residency, 'leave', context);
        return [200, {}];
      },
    }),
  ];
}
