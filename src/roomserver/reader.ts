/**
 * The reading half of the roomserver's inside: `RoomReader` over the stores, joined from its parts. Nothing here keeps
 * state of its own.
 */
import type { ServerName, UserId } from '../matrix/ids.ts';
import type { Snapshot } from '../storage/index.ts';
import type { RoomReader } from './room-reader.ts';
import { eventReader } from './reader/events.ts';
import { hostReader } from './reader/hosts.ts';
import { memberReader } from './reader/members.ts';
import { partialReader } from './reader/partial.ts';
import { stateReader } from './reader/state.ts';
import { strippedReader } from './reader/stripped.ts';
import { childRows, relatingNids, transactionOf } from './storage/annotations.ts';
import { comparePlaces } from './storage/event-rows.ts';
import { hasGaps, isBehindGap } from './storage/gaps.ts';
import { eventIdFrom } from './storage/nids.ts';
import { type Stores, openStores } from './stores.ts';
import type { EventNid, StateKeyNid, TypeNid } from './types.ts';
import { visibleTo } from './visibility.ts';

/** A reader with stores of its own, for a process that only reads. */
export const openRoomReader = (snapshot: Snapshot, serverName: ServerName): RoomReader =>
  roomReader(openStores(snapshot, serverName));

export function roomReader(stores: Stores): RoomReader {
  return {
    ...headReader(stores),
    ...eventReader(stores),
    ...stateReader(stores),
    ...timelineReader(stores),
    ...relationReader(stores),
    ...memberReader(stores),
    ...partialReader(stores),
    ...strippedReader(stores),
    ...hostReader(stores),
    visibleTo: (snapshot, user, events) => visibleTo(stores, snapshot, user, events),
    mayView: (snapshot, user, event) => visibleTo(stores, snapshot, user, [event]).length === 1,
    transactionId: transactionOf,
  };
}

type Part<K extends keyof RoomReader> = Pick<RoomReader, K>;

const headReader = ({
  rooms,
  graph,
  events,
}: Stores): Part<'room' | 'roomByNid' | 'allRooms' | 'forwardExtremities'> => ({
  room: (snapshot, roomId) => rooms.byId(snapshot, roomId),
  roomByNid: (snapshot, nid) => rooms.byNid(snapshot, nid),
  allRooms: (snapshot) => rooms.withState(snapshot),
  forwardExtremities: (snapshot, room) =>
    graph.extremities(snapshot, room).flatMap((nid) => events.stored(snapshot, nid) ?? []),
});

function timelineReader({
  events,
  rooms,
}: Stores): Part<
  | 'timelineBackward'
  | 'timelineForward'
  | 'eventsAfter'
  | 'hasGaps'
  | 'isBehindGap'
  | 'lastPosition'
  | 'roomsChangedSince'
> {
  return {
    timelineBackward: (snapshot, room, upTo, after, limit) =>
      events.served.backward(snapshot, room, upTo, after, limit),
    timelineForward: (snapshot, room, after, upTo, limit) => events.served.forward(snapshot, room, after, upTo, limit),
    eventsAfter: (snapshot, after, limit) => events.served.placedAfter(snapshot, after, limit),
    hasGaps,
    isBehindGap: (snapshot, event) => isBehindGap(snapshot, event.nid),
    lastPosition: (snapshot, room) => rooms.head(snapshot, room).last_position,
    roomsChangedSince: (snapshot, since) => rooms.changedSince(snapshot, since),
  };
}

const relationReader = ({ events, types, keys }: Stores): Part<'relatingEvents' | 'children'> => ({
  relatingEvents: (snapshot, room, eventId, relType, eventType) =>
    relatingNids(snapshot, eventId, relType)
      .flatMap((nid) => events.meta(snapshot, nid) ?? [])
      .filter((meta) => meta.room === room && meta.redactedBy === 0)
      .filter((meta) => eventType === undefined || types.text(snapshot, meta.type) === eventType)
      .flatMap(({ nid, place }) => (place === undefined ? [] : [{ nid, place }]))
      .sort((a, b) => comparePlaces(b.place, a.place))
      .map(({ nid }) => nid),
  children: (snapshot, room, eventId) =>
    childRows(snapshot, eventId, room).map((row) => ({
      event: row.nid as EventNid,
      eventId: eventIdFrom(row.event_id),
      relType: row.rel_type,
      type: types.text(snapshot, row.type as TypeNid),
      sender: keys.text(snapshot, row.sender as StateKeyNid) as UserId,
      originServerTs: row.ts,
    })),
});
