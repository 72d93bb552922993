/**
 * The body of a request to a push gateway (Push Gateway API v1.19 §`POST /_matrix/push/v1/notify`), composed when it is
 * sent: what was redacted, read or left meanwhile is not told any more.
 */
import type { UserId } from '../matrix/ids.ts';
import { asObject, asString, memberOf, parseJson, type JsonObject } from '../matrix/json.ts';
import { contentText, type LocalMembership, type RoomReader, type StoredEvent } from '../roomserver/index.ts';
import type { Position, Snapshot } from '../storage/index.ts';
import { countsText, type Badges } from './badges.ts';
import type { UnreadCounts } from './counts.ts';
import type { PusherRow, QueueRow } from './pusher-storage.ts';
import { dataOf } from './pushers.ts';
import { roomNames, strippedNames, type RoomNames } from './room-name.ts';

export interface NotificationParts {
  readonly rooms: RoomReader;
  readonly counts: UnreadCounts;
  readonly badges: Badges;
}

/** One read of the database. */
export interface View {
  readonly snapshot: Snapshot;
  readonly head: Position;
}

/** An event that is still worth telling, with what it is called. */
export interface Told {
  readonly event: StoredEvent;
  readonly roomId: string;
  readonly names: RoomNames;
}

/** The event of a queue row; undefined when it is gone, read, or the user may no longer see it. */
export function toldOf(
  { rooms, counts }: NotificationParts,
  { snapshot, head }: View,
  user: UserId,
  row: QueueRow,
): Told | undefined {
  const event = rooms.event(snapshot, row.event_nid);
  if (event === undefined || event.redactedBy !== 0) return undefined;
  const membership = rooms.localMembershipAt(snapshot, user, row.room_nid, head);
  const roomId = rooms.roomByNid(snapshot, row.room_nid).roomId;
  if (membership?.membership === 'invite') {
    if (membership.event !== event.nid) return undefined;
    return { event, roomId, names: namesFor(snapshot, rooms, membership) };
  }
  const isRead = counts.reading(snapshot, head, row.room_nid, user);
  if (isRead === undefined || isRead(row.position, row.thread_id)) return undefined;
  return { event, roomId, names: roomNames(snapshot, rooms, row.room_nid, user) };
}

const namesFor = (snapshot: Snapshot, rooms: RoomReader, membership: LocalMembership): RoomNames =>
  membership.outOfBand
    ? strippedNames(snapshot, rooms, membership)
    : roomNames(snapshot, rooms, membership.room, membership.user);

export interface Composed {
  /** The JSON text of the request. */
  readonly body: string;
  /** The counts that it tells. */
  readonly counts: string;
}

/** What a gateway is told of an event, or only of the counts. */
export function composeNotification(
  parts: NotificationParts,
  { snapshot, head }: View,
  pusher: PusherRow,
  row: QueueRow,
  told: Told | undefined,
): Composed {
  const counts = countsText(parts.badges.of(snapshot, head, pusher.user_id));
  const { url: _url, ...data } = dataOf(pusher);
  const tweaks = JSON.parse(row.tweaks) as JsonObject;
  const device = {
    app_id: pusher.app_id,
    pushkey: pusher.pushkey,
    pushkey_ts: Math.floor(pusher.updated_at / 1000),
    data,
    ...(told === undefined ? {} : { tweaks }),
  };
  const fields = told === undefined ? { prio: 'low' } : fieldsOf(told, tweaks, data['format'], pusher.user_id);
  // The content is taken as it is stored: numbers in it may be larger than JavaScript's.
  const content = told === undefined || data['format'] === idOnly ? '' : `"content":${contentText(told.event)},`;
  const start = JSON.stringify(fields).slice(0, -1);
  return {
    body: `{"notification":${start},${content}"counts":${counts},"devices":[${JSON.stringify(device)}]}}`,
    counts,
  };
}

/** "Only the `event_id`, `room_id`, `counts`, and `devices` are required to be populated." */
const idOnly = 'event_id_only';

function fieldsOf({ event, roomId, names }: Told, tweaks: JsonObject, format: unknown, user: UserId): JsonObject {
  const ids = { event_id: event.eventId, room_id: roomId, prio: priorityOf(event.type, tweaks) };
  if (format === idOnly) return ids;
  const isMember = event.type === 'm.room.member';
  const membership = isMember ? asString(memberOf(asObject(parseJson(contentText(event))), 'membership')) : undefined;
  const optional = {
    sender_display_name: names.of(event.sender),
    room_name: names.name,
    room_alias: names.alias,
    // `membership` here and `id` below are what gateways of the first version read.
    membership,
    user_is_target: isMember ? event.stateKey === user : undefined,
  };
  const present = Object.entries(optional).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, value] as const],
  );
  return { ...ids, id: event.eventId, type: event.type, sender: event.sender, ...Object.fromEntries(present) };
}

/** High is what rings, highlights, or may do so once it is decrypted. */
function priorityOf(type: string, tweaks: JsonObject): 'high' | 'low' {
  const isLoud = tweaks['highlight'] === true || (tweaks['sound'] ?? '') !== '';
  return isLoud || type === 'm.room.encrypted' ? 'high' : 'low';
}
