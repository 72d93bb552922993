/** The reading half of the roomserver's inside: `RoomReader` over the stores. Nothing here keeps state of its own. */
import type { ServerName, UserId } from '../matrix/ids.ts';
import { canonicalJson } from '../matrix/canonical-json.ts';
import { redactEvent } from '../matrix/pdu.ts';
import { strippedStateFields } from '../matrix/stored-event.ts';
import type { Snapshot } from '../storage/index.ts';
import type { RoomReader } from './core.ts';
import { hostReader } from './host-reader.ts';
import { redactedTexts } from './input/annotate.ts';
import { presumedRooms } from './query/presumed.ts';
import type { Block } from './state/blocks.ts';
import { entriesOf } from './state/snapshots.ts';
import { childRows, relatingNids, transactionOf } from './storage/annotations.ts';
import { comparePlaces } from './storage/event-rows.ts';
import { eventIdFrom, types as knownTypes } from './storage/nids.ts';
import { type Stores, currentEventNid, openStores, stateEventNid } from './stores.ts';
import type { EventNid, LocalMembership, RoomNid, StateEntry, StateKeyNid, StoredEvent, TypeNid } from './types.ts';
import { visibleTo } from './visibility.ts';

/** What of a room's state an invited or knocking user is shown (C-S API §Stripped state). */
const strippedTypes = [
  'm.room.create',
  'm.room.join_rules',
  'm.room.canonical_alias',
  'm.room.name',
  'm.room.avatar',
  'm.room.topic',
  'm.room.encryption',
];

/** A reader with stores of its own, for a process that only reads. */
export const openRoomReader = (snapshot: Snapshot, serverName: ServerName): RoomReader =>
  roomReader(openStores(snapshot, serverName));

export function roomReader(stores: Stores): RoomReader {
  return {
    ...roomAndEventReader(stores),
    ...stateReader(stores),
    ...timelineReader(stores),
    ...memberReader(stores),
    ...hostReader(stores),
    visibleTo: (snapshot, user, events) => visibleTo(stores, snapshot, user, events),
    mayView: (snapshot, user, event) => visibleTo(stores, snapshot, user, [event]).length === 1,
    relatingEvents: (snapshot, room, eventId, relType, eventType) =>
      relatingNids(snapshot, eventId, relType)
        .flatMap((nid) => stores.events.meta(snapshot, nid) ?? [])
        .filter((meta) => meta.room === room && meta.redactedBy === 0)
        .filter((meta) => eventType === undefined || stores.types.text(snapshot, meta.type) === eventType)
        .flatMap(({ nid, place }) => (place === undefined ? [] : [{ nid, place }]))
        .sort((a, b) => comparePlaces(b.place, a.place))
        .map(({ nid }) => nid),
    children: (snapshot, room, eventId) =>
      childRows(snapshot, eventId, room).map((row) => ({
        event: row.nid as EventNid,
        eventId: eventIdFrom(row.event_id),
        relType: row.rel_type,
        type: stores.types.text(snapshot, row.type as TypeNid),
        sender: stores.keys.text(snapshot, row.sender as StateKeyNid) as UserId,
        originServerTs: row.ts,
      })),
    transactionId: transactionOf,
  };
}

type Part<K extends keyof RoomReader> = Pick<RoomReader, K>;

function roomAndEventReader(
  stores: Stores,
): Part<
  | 'room'
  | 'roomByNid'
  | 'allRooms'
  | 'event'
  | 'eventById'
  | 'eventId'
  | 'roomEvent'
  | 'pduText'
  | 'authEvents'
  | 'prevEvents'
  | 'redacted'
  | 'isErased'
  | 'membershipOf'
  | 'citedMember'
> {
  const { rooms, events } = stores;
  return {
    room: (snapshot, roomId) => rooms.byId(snapshot, roomId),
    roomByNid: (snapshot, nid) => rooms.byNid(snapshot, nid),
    allRooms: (snapshot) => rooms.withState(snapshot),
    event: (snapshot, nid) => (nid < 0 ? stores.outOfBand.stored(snapshot, nid) : events.stored(snapshot, nid)),
    eventById: (snapshot, eventId) => events.stored(snapshot, events.nidOf(snapshot, eventId)),
    eventId: (snapshot, nid) => events.meta(snapshot, nid)?.eventId,
    pduText: (snapshot, nid, redacted = false) => {
      const room = rooms.byNid(snapshot, events.knownMeta(snapshot, nid).room);
      if (!redacted) return events.pduText(snapshot, nid, room.rules);
      const { pdu } = redactEvent(events.parsed(snapshot, nid, room.rules), room.rules);
      return canonicalJson(pdu, { lenient: !room.rules.strictCanonicalJson });
    },
    authEvents: (snapshot, nid) => events.authNids(snapshot, nid),
    prevEvents: (snapshot, nid) => {
      const known = events.prevNids(snapshot, nid);
      if (known !== undefined) return known;
      const { rules } = rooms.byNid(snapshot, events.knownMeta(snapshot, nid).room);
      const { prevEvents } = events.parsed(snapshot, nid, rules);
      return prevEvents.map((id) => events.nidOf(snapshot, id)).filter((prev) => prev > 0);
    },
    redacted: (snapshot, event) => ({
      ...event,
      client: redactedTexts(stores, snapshot, rooms.byNid(snapshot, event.room), event.nid).client,
    }),
    isErased: (user) => stores.erased.has(user),
    citedMember: (snapshot, event, user) => {
      if (event.nid < 0) return 0 as EventNid;
      const key = stores.keys.find(snapshot, user);
      const isOwn = (nid: EventNid): boolean => {
        const meta = events.knownMeta(snapshot, nid);
        return meta.type === knownTypes.member && meta.key === key;
      };
      return events.authNids(snapshot, event.nid).find(isOwn) ?? (0 as EventNid);
    },
    membershipOf: (snapshot, nid) =>
      nid < 0 ? stores.outOfBand.membership(snapshot, nid) : events.membership(snapshot, nid),
    roomEvent: (snapshot, nid) => {
      const outside = nid < 0 ? stores.outOfBand.event(snapshot, nid) : undefined;
      if (outside !== undefined) return outside.event;
      const { room } = events.knownMeta(snapshot, nid);
      return events.parsed(snapshot, nid, rooms.byNid(snapshot, room).rules);
    },
  };
}

function stateReader(
  stores: Stores,
): Part<
  | 'currentEvent'
  | 'currentState'
  | 'currentSnapshot'
  | 'stateSize'
  | 'snapshotAt'
  | 'stateBefore'
  | 'stateAfter'
  | 'stateEvent'
  | 'stateEntries'
  | 'stateEntriesWithoutMembers'
  | 'stateDifference'
> {
  const { rooms, events, states, types, keys } = stores;
  const entry = (snapshot: Snapshot, type: number, key: number, event: number): StateEntry => ({
    type: types.text(snapshot, type as TypeNid),
    stateKey: keys.text(snapshot, key as StateKeyNid),
    event: event as EventNid,
  });
  const named = (snapshot: Snapshot, block: Block): StateEntry[] =>
    entriesOf(block).map(({ type, key, event }) => entry(snapshot, type, key, event));
  return {
    currentEvent: (snapshot, room, type, stateKey) =>
      events.stored(snapshot, currentEventNid(stores, snapshot, room, type, stateKey)),
    currentState: (snapshot, room, type) => {
      const typeNid = type === undefined ? undefined : types.find(snapshot, type);
      return rooms.state(snapshot, room, typeNid).map((row) => entry(snapshot, row.type, row.state_key, row.event));
    },
    currentSnapshot: (snapshot, room) => rooms.head(snapshot, room).snapshot,
    stateSize: (snapshot, room) => rooms.stateSize(snapshot, room),
    snapshotAt: (snapshot, room, position) => rooms.snapshotAt(snapshot, room, position),
    stateBefore: (_snapshot, event) => event.snapshot,
    stateAfter: (snapshot, event) => events.knownMeta(snapshot, event.nid).after,
    stateEvent: (snapshot, state, type, stateKey) => stateEventNid(stores, snapshot, state, type, stateKey),
    stateEntries: (snapshot, state, type) =>
      named(snapshot, states.entries(snapshot, state, type === undefined ? undefined : types.find(snapshot, type))),
    stateEntriesWithoutMembers: (snapshot, state) =>
      named(snapshot, states.entriesWithout(snapshot, state, knownTypes.member)),
    stateDifference: (snapshot, from, to) =>
      states.difference(snapshot, from, to).map((change) => {
        const { type, stateKey } = entry(snapshot, change.type, change.key, change.to);
        return { type, stateKey, from: change.from as EventNid, to: change.to as EventNid };
      }),
  };
}

function timelineReader({
  events,
  rooms,
}: Stores): Part<
  'timelineBackward' | 'timelineForward' | 'eventsAfter' | 'isBehindGap' | 'lastPosition' | 'roomsChangedSince'
> {
  return {
    timelineBackward: (snapshot, room, upTo, after, limit) =>
      events.timelineBackward(snapshot, room, upTo, after, limit),
    timelineForward: (snapshot, room, after, upTo, limit) => events.timelineForward(snapshot, room, after, upTo, limit),
    eventsAfter: (snapshot, after, limit) => events.placedAfter(snapshot, after, limit),
    isBehindGap: (snapshot, event) => rooms.isBehindGap(snapshot, event.nid),
    lastPosition: (snapshot, room) => rooms.head(snapshot, room).last_position,
    roomsChangedSince: (snapshot, since) => rooms.changedSince(snapshot, since),
  };
}

function memberReader(
  stores: Stores,
): Part<
  | 'membership'
  | 'members'
  | 'firstMembers'
  | 'joinedAfter'
  | 'joinedLocalUsers'
  | 'joinedCount'
  | 'invitedCount'
  | 'joinedServers'
  | 'isServerJoined'
  | 'membersOfServer'
  | 'isPartial'
  | 'hasPartialRooms'
  | 'partialServers'
  | 'presumedRooms'
  | 'wholeSince'
  | 'partialSince'
  | 'wholeAt'
  | 'forwardExtremities'
  | 'sharedRooms'
  | 'joinedRooms'
  | 'localMemberships'
  | 'localMembershipAt'
  | 'localMembershipsBetween'
  | 'strippedState'
  | 'strippedEvents'
> {
  const { members, rooms, events } = stores;
  return {
    membership: (snapshot, room, user) => members.member(snapshot, room, user),
    members: (snapshot, room, membership) => members.members(snapshot, room, membership),
    firstMembers: (snapshot, room, memberships, limit) => members.firstMembers(snapshot, room, memberships, limit),
    joinedAfter: (snapshot, room, after, limit) => members.joinedAfter(snapshot, room, after, limit),
    joinedLocalUsers: (snapshot, room, limit) => members.joinedLocalUsers(snapshot, room, limit),
    joinedCount: (snapshot, room) => rooms.head(snapshot, room).joined,
    invitedCount: (snapshot, room) => rooms.head(snapshot, room).invited,
    joinedServers: (snapshot, room): ServerName[] => [...members.joinedServers(snapshot, room).keys()],
    isServerJoined: (snapshot, room, server = stores.serverName) => members.isServerJoined(snapshot, room, server),
    membersOfServer: (snapshot, room, server) => members.membersOfServer(snapshot, room, server),
    hasPartialRooms: (snapshot) => stores.partial.all(snapshot).length > 0,
    isPartial: (snapshot, room) => stores.partial.get(snapshot, room) !== undefined,
    partialServers: (snapshot, room) => stores.partial.servers(snapshot, room),
    presumedRooms: (snapshot, user) => presumedRooms(stores, snapshot, user),
    wholeSince: (snapshot, room) => stores.partial.wholeSince(snapshot, room),
    partialSince: (snapshot, room) => stores.partial.began(snapshot, room),
    wholeAt: (snapshot, room, position) => stores.partial.wholeAt(snapshot, room, position),
    forwardExtremities: (snapshot, room) =>
      rooms.extremities(snapshot, room).flatMap((nid) => events.stored(snapshot, nid) ?? []),
    sharedRooms: (snapshot, one, other) => members.sharedRooms(snapshot, one, other),
    joinedRooms: (snapshot, user) => members.joinedRooms(snapshot, user),
    localMemberships: (snapshot, user) => members.localNewest(snapshot, user),
    localMembershipAt: (snapshot, user, room, position) => members.localAt(snapshot, user, room, position),
    localMembershipsBetween: (snapshot, user, after, upTo) => members.localBetween(snapshot, user, after, upTo),
    strippedState: (snapshot, membership) => strippedState(stores, snapshot, membership),
    strippedEvents: (snapshot, room, user) => strippedEvents(stores, snapshot, room, user),
  };
}

/** What came with an out-of-band membership; otherwise the state that the member event was sent on, and the event. */
function strippedState(stores: Stores, snapshot: Snapshot, membership: LocalMembership): string[] {
  const { user, position, event, room: roomNid } = membership;
  const kept = stores.members.stripped(snapshot, user, position);
  if (kept !== undefined) return (JSON.parse(kept) as unknown[]).map((member) => JSON.stringify(member));
  const own: StoredEvent | undefined = stores.events.stored(snapshot, event);
  if (own === undefined) return [];
  const pairs = [...strippedTypes.map((type) => [type, ''] as const), ['m.room.member', own.sender] as const];
  const nids = new Set(pairs.map(([type, key]) => stateEventNid(stores, snapshot, own.snapshot, type, key)));
  nids.add(event);
  const { rules } = stores.rooms.byNid(snapshot, roomNid);
  return [...nids]
    .filter((nid) => nid > 0)
    .map((nid) => JSON.stringify(strippedStateFields(stores.events.parsed(snapshot, nid, rules))));
}

function strippedEvents(stores: Stores, snapshot: Snapshot, room: RoomNid, user: UserId | undefined): EventNid[] {
  const pairs = strippedTypes.map((type): [string, string] => [type, '']);
  if (user !== undefined) pairs.push(['m.room.member', user]);
  return pairs.map(([type, key]) => currentEventNid(stores, snapshot, room, type, key)).filter((nid) => nid > 0);
}
