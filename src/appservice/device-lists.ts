/**
 * Device lists for encrypted bridges (MSC3202), as /sync tells them to a client: whose keys to fetch again because a room
 * with them is shared from now on, and whom to follow no longer.
 */
import type { RoomEventEntry } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Tx } from '../storage/index.ts';
import type { Interest } from './interest.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';

export interface ListChanges {
  readonly changed: readonly string[];
  readonly left: readonly string[];
}

interface Parts {
  readonly rooms: RoomReader;
  readonly registry: ServiceRegistry;
  readonly interest: Interest;
}

/** What a change of membership in a room that the service is interested in changes for it; undefined: nothing. */
export function listChanges(
  tx: Tx,
  { rooms, registry, interest }: Parts,
  service: Registration,
  entry: RoomEventEntry,
): ListChanges | undefined {
  const user = entry.stateKey as UserId;
  const event = rooms.event(tx, entry.event);
  if (event === undefined) return undefined;
  const joined = rooms.membershipOf(tx, entry.event) === 'join';
  const before = event.snapshot === 0 ? 0 : rooms.stateEvent(tx, event.snapshot, 'm.room.member', user);
  const wasJoined = before !== 0 && rooms.membershipOf(tx, before) === 'join';
  if (joined === wasJoined) return undefined;
  if (!registry.ownsUser(service, user)) {
    if (joined) return { changed: [user], left: [] };
    return interest.sharesRoom(tx, service, user) ? undefined : { changed: [], left: [user] };
  }
  // A user of the service itself has come: everybody in an encrypted room is new to it, unless others were there.
  const isEncrypted = rooms.currentEvent(tx, entry.room, 'm.room.encryption', '') !== undefined;
  if (!joined || !isEncrypted) return undefined;
  const members = rooms.members(tx, entry.room, 'join').map((member) => member.user);
  if (members.some((other) => other !== user && registry.ownsUser(service, other))) return undefined;
  const changed = members.filter((other) => other !== user);
  return changed.length === 0 ? undefined : { changed, left: [] };
}
