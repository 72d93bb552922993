/**
 * Receipt check 6 for a room that was partial (S-S API v1.19 §Soft failure): while it was, nobody could be soft-failed. When
 * its state is whole, each event that came meanwhile is judged by the state that was current then.
 */
import { authorise } from '../../matrix/event-auth.ts';
import type { Position, Tx } from '../../storage/index.ts';
import { prevNids } from '../input/extremities.ts';
import type { PipelineTools } from '../input/job.ts';
import { type EventMeta, flag } from '../storage/event-rows.ts';
import { authStateAt } from '../stores.ts';
import type { EventNid, Room, SnapshotNid } from '../types.ts';

/** An event leaves the timeline that it stood in; those that follow the log are told. */
export function withdraw(
  tools: PipelineTools,
  tx: Tx,
  room: Room,
  event: EventNid,
  place: { readonly slot: Position; readonly live: 0 | 1 } | undefined,
): void {
  if (place?.live !== 1) return;
  tools.append(tx, { topic: 'event.withdrawn', room: room.nid, roomId: room.roomId, event, slot: place.slot });
}

/**
 * Soft-fails what fails of a room's events since its join (the first of them), in the order in which they came; what was
 * current then is told from those that were there. Their full states are in place. Returns those that failed.
 */
export function softFail(tools: PipelineTools, tx: Tx, room: Room, since: readonly EventNid[]): EventNid[] {
  const { stores } = tools;
  const arrived = since
    .map((nid) => stores.events.knownMeta(tx, nid))
    .filter(({ place }) => place?.live === 1)
    .sort((a, b) => (a.place?.slot ?? 0) - (b.place?.slot ?? 0));
  const ends = new Map<EventNid, SnapshotNid>();
  const failed: EventNid[] = [];
  for (const meta of arrived) {
    const reason = ends.size === 0 ? undefined : failureThen(tools, tx, room, meta, [...ends.values()]);
    if (reason === undefined) {
      for (const nid of prevNids(stores, tx, room.nid, meta.nid)) ends.delete(nid);
      ends.set(meta.nid, meta.after);
      continue;
    }
    failed.push(meta.nid);
    withdraw(tools, tx, room, meta.nid, meta.place);
    const { snapshot, after } = meta;
    const flags = meta.flags | flag.softFailed;
    stores.events.updateJudged(tx, meta.nid, { flags, snapshot, after, place: undefined });
    stores.events.setVerdictReason(tx, meta.nid, reason);
  }
  return failed;
}

/** Why an event fails by the state that some states resolve to. */
function failureThen(
  { stores, resolver }: PipelineTools,
  tx: Tx,
  room: Room,
  { nid, sender, snapshot }: EventMeta,
  states: readonly SnapshotNid[],
): string | undefined {
  // Our own were made on the state of their time; a state that is no other cannot judge otherwise.
  if (stores.members.isLocal(stores.keys.text(tx, sender))) return undefined;
  const current = resolver.resolve(tx, room, states, true);
  if (current === snapshot) return undefined;
  const event = stores.events.forAuth(tx, nid, room.rules);
  const verdict = authorise(event, authStateAt(stores, tx, room, current), room.rules);
  return verdict.allowed ? undefined : verdict.reason;
}
