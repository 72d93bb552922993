/** The bodies of transactions (A-S API v1.19 §Pushing events, MSC2409, MSC3202), of bounded size. */
import { clientEvent, clientView, type EventNid, type RoomReader, type StoredEvent } from '../roomserver/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { asObject, parseJson } from '../matrix/json.ts';
import type { Snapshot } from '../storage/index.ts';
import type { OneTimeKeys } from '../userapi/index.ts';
import type { ListChanges } from './device-lists.ts';
import type { Registration } from './registration.ts';
import type { QueueRow } from './storage.ts';

export interface TransactionParts {
  readonly rooms: RoomReader;
  readonly oneTimeKeys: OneTimeKeys;
}

/** Queue rows of one transaction at most, and characters of events after which no further one is taken. */
export const maxRows = 100;
const maxText = 1024 * 1024;

interface Contents {
  readonly events: string[];
  readonly ephemeral: string[];
  readonly toDevice: string[];
  readonly changed: Set<string>;
  readonly left: Set<string>;
  /** User to device ids whose keys are counted. */
  readonly counted: Map<UserId, Set<string>>;
}

/**
 * The JSON text of a transaction of the oldest rows, and how many of them it took.
 * @param ephemeral JSON texts of typing and presence, to go with it
 * @param now ms, for the age of events
 */
export function composeTransaction(
  snapshot: Snapshot,
  parts: TransactionParts,
  service: Registration,
  rows: readonly QueueRow[],
  ephemeral: readonly string[],
  now: number,
): { readonly body: string; readonly taken: number } {
  const contents: Contents = {
    ...{ events: [], ephemeral: [], toDevice: [], changed: new Set(), left: new Set(), counted: new Map() },
  };
  let size = 0;
  let taken = 0;
  for (const row of rows) {
    if (taken > 0 && size > maxText) break;
    size += take(snapshot, parts, service, row, contents, now);
    taken += 1;
  }
  contents.ephemeral.push(...ephemeral);
  return { body: bodyOf(snapshot, parts, service, contents), taken };
}

/** Puts what a row stands for into the contents; returns the length of its text. */
function take(
  snapshot: Snapshot,
  { rooms }: TransactionParts,
  service: Registration,
  { kind, data }: QueueRow,
  contents: Contents,
  now: number,
): number {
  switch (kind) {
    case 'event': {
      const text = eventText(snapshot, rooms, service, Number(data) as EventNid, now);
      if (text !== undefined) contents.events.push(text);
      return text?.length ?? 0;
    }
    case 'receipt':
      contents.ephemeral.push(data);
      break;
    case 'to_device': {
      contents.toDevice.push(data);
      const target = asObject(parseJson(data));
      count(contents, String(target?.to_user_id) as UserId, String(target?.to_device_id));
      break;
    }
    case 'device_list': {
      const { changed, left } = JSON.parse(data) as ListChanges;
      for (const user of changed) {
        contents.changed.add(user);
        contents.left.delete(user);
      }
      for (const user of left) {
        contents.left.add(user);
        contents.changed.delete(user);
      }
      break;
    }
    case 'key_counts': {
      const { user, deviceId } = JSON.parse(data) as { user: UserId; deviceId: string };
      count(contents, user, deviceId);
      break;
    }
  }
  return data.length;
}

function count({ counted }: Contents, user: UserId, deviceId: string): void {
  const devices = counted.get(user) ?? new Set<string>();
  counted.set(user, devices.add(deviceId));
}

/** The event as clients get it; undefined when it is gone (purged). */
function eventText(
  snapshot: Snapshot,
  rooms: RoomReader,
  service: Registration,
  nid: EventNid,
  now: number,
): string | undefined {
  const event = rooms.event(snapshot, nid);
  if (event === undefined) return undefined;
  const view = clientView({ userId: service.sender, now, membership: false, seesAll: true });
  const text = clientEvent(snapshot, rooms, event, view);
  const state = invitedTo(snapshot, rooms, event);
  if (state === undefined) return text;
  // Whoever is invited can read nothing of the room yet: the stripped state goes along, as in /sync.
  const parsed = asObject(parseJson(text));
  return JSON.stringify({ ...parsed, unsigned: { ...asObject(parsed?.unsigned), invite_room_state: state } });
}

function invitedTo(snapshot: Snapshot, rooms: RoomReader, event: StoredEvent): unknown[] | undefined {
  if (event.type !== 'm.room.member' || event.stateKey === null) return undefined;
  if (rooms.membershipOf(snapshot, event.nid) !== 'invite') return undefined;
  const user = event.stateKey as UserId;
  const row = rooms.localMemberships(snapshot, user).find((membership) => membership.event === event.nid);
  return row === undefined
    ? undefined
    : rooms.strippedState(snapshot, row).map((text): unknown => parseJson(text) ?? null);
}

function bodyOf(snapshot: Snapshot, { oneTimeKeys }: TransactionParts, service: Registration, all: Contents): string {
  const list = (texts: readonly string[]): string => `[${texts.join(',')}]`;
  const members = [`"events":${list(all.events)}`];
  if (all.ephemeral.length > 0) {
    members.push(`"ephemeral":${list(all.ephemeral)}`);
    if (service.unstableEphemeral) members.push(`"de.sorunome.msc2409.ephemeral":${list(all.ephemeral)}`);
  }
  if (all.toDevice.length > 0) members.push(`"de.sorunome.msc2409.to_device":${list(all.toDevice)}`);
  if (service.encryption) {
    if (all.changed.size > 0 || all.left.size > 0) {
      const lists = { changed: [...all.changed], left: [...all.left] };
      members.push(`"org.matrix.msc3202.device_lists":${JSON.stringify(lists)}`);
    }
    if (all.counted.size > 0) {
      const each = (read: (user: UserId, deviceId: string) => unknown): string =>
        JSON.stringify(
          Object.fromEntries(
            [...all.counted].map(([user, devices]) => [
              user,
              Object.fromEntries([...devices].map((deviceId) => [deviceId, read(user, deviceId)])),
            ]),
          ),
        );
      const counts = each((user, deviceId) => oneTimeKeys.counts(snapshot, user, deviceId));
      const unused = each((user, deviceId) => oneTimeKeys.unusedFallbacks(snapshot, user, deviceId));
      members.push(`"org.matrix.msc3202.device_one_time_keys_count":${counts}`);
      members.push(`"org.matrix.msc3202.device_unused_fallback_key_types":${unused}`);
    }
  }
  return `{${members.join(',')}}`;
}
