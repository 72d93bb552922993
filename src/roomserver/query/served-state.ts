/**
 * The state before an event as other servers get it (S-S API v1.19 `GET /state`, `GET /state_ids`): "prior to considering
 * any state changes induced by the requested event", with its auth chain. States are large: only their numbers are read
 * in one snapshot, the texts in several short ones (INVARIANTS 1).
 */
import { matrixError } from '../../matrix/errors.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { EventNid } from '../types.ts';
import { Slice } from '../../util/slice.ts';
import { authChain, toldEvent } from './graph.ts';
import { roomForServer } from './server-visibility.ts';

export interface ServedState {
  readonly state: readonly EventNid[];
  readonly authChain: readonly EventNid[];
}

/** Events whose texts are read in one snapshot. */
const batchSize = 2000;

/** @throws M_FORBIDDEN; M_NOT_FOUND for events of other rooms, rejected ones and those whose state is not known */
export async function stateForServer(
  snapshot: Snapshot,
  rooms: RoomReader,
  wish: { readonly roomId: string; readonly eventId: string; readonly server: string },
): Promise<ServedState> {
  const room = roomForServer(snapshot, rooms, wish.roomId, wish.server);
  const event = toldEvent(snapshot, rooms, room, wish.eventId);
  if (event === undefined || event.snapshot === 0 || rooms.isPartial(snapshot, room.nid)) {
    throw matrixError.notFound('The state at this event is not known');
  }
  const state = rooms.stateEntries(snapshot, event.snapshot).map((entry) => entry.event);
  return { state, authChain: await authChain(snapshot, rooms, room, state) };
}

/** JSON texts of events, each as it is stored. */
export async function pduTexts(db: Database, rooms: RoomReader, nids: readonly EventNid[]): Promise<string[]> {
  const texts: string[] = [];
  for (let start = 0; start < nids.length; start += batchSize) {
    const batch = nids.slice(start, start + batchSize);
    texts.push(...(await db.snapshot((snapshot) => batchTexts(snapshot, rooms, batch))));
  }
  return texts;
}

async function batchTexts(snapshot: Snapshot, rooms: RoomReader, nids: readonly EventNid[]): Promise<string[]> {
  const slice = new Slice();
  const texts: string[] = [];
  for (const nid of nids) {
    texts.push(rooms.pduText(snapshot, nid));
    if (slice.spent) await slice.tick();
  }
  return texts;
}

/** Ids of events, in order. */
export async function eventIdsOf(snapshot: Snapshot, rooms: RoomReader, nids: readonly EventNid[]): Promise<string[]> {
  const slice = new Slice();
  const ids: string[] = [];
  for (const nid of nids) {
    const event = rooms.eventId(snapshot, nid);
    if (event !== undefined) ids.push(event);
    if (slice.spent) await slice.tick();
  }
  return ids;
}
