/**
 * The state that judges an event of a partial-state room (MSC3902): the resolution of the partial state before it and of
 * its own auth events, because the members that the first lacks are among the second.
 */
import { type AuthState, authTypesFor } from '../../matrix/auth-types.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { Entry } from '../state/blocks.ts';
import type { Resolver } from '../state/resolve.ts';
import { types } from '../storage/nids.ts';
import { type Stores, authStateBy, stateEventNid } from '../stores.ts';
import type { EventNid, Room, SnapshotNid } from '../types.ts';

export function partialAuthState(
  stores: Stores,
  resolver: Resolver,
  snapshot: Snapshot,
  room: Room,
  event: RoomEvent,
  before: SnapshotNid,
  auth: readonly EventNid[],
): AuthState {
  const entryOf = (nid: EventNid): Entry => {
    const { type, key } = stores.events.knownMeta(snapshot, nid);
    return { type, key, event: nid };
  };
  // Only what the rules read of this event is looked at, as if the room had no other state.
  const create = stateEventNid(stores, snapshot, before, 'm.room.create', '');
  const known = [
    ...(create === 0 ? [] : [create]),
    ...authTypesFor(event, room.rules).flatMap(([type, stateKey]) => {
      const nid = stateEventNid(stores, snapshot, before, type, stateKey);
      return nid === 0 || nid === create ? [] : [nid];
    }),
  ].map(entryOf);
  const cited = auth.map(entryOf);
  if (create > 0 && !cited.some(({ type }) => type === types.create)) cited.push(entryOf(create));
  const pairs = new Map(known.map((entry) => [`${entry.type} ${entry.key}`, entry.event]));
  const isDisputed = cited.some(({ type, key, event: nid }) => (pairs.get(`${type} ${key}`) ?? nid) !== nid);
  const entries = isDisputed ? resolver.among(snapshot, room, [known, cited]) : [...known, ...cited];
  return authStateBy(stores, snapshot, room, (type, stateKey) => {
    const [typeNid, key] = [stores.types.find(snapshot, type), stores.keys.find(snapshot, stateKey)];
    return (entries.find((entry) => entry.type === typeNid && entry.key === key)?.event ?? 0) as EventNid;
  });
}
