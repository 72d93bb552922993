/**
 * The phase for what an event says about others: its relation, and redactions in both orders of arrival (INVARIANTS 20).
 * A redaction is in force while it is accepted, not soft-failed, and allowed by the state before it.
 */
import { mayRedact, powerLevelsOf } from '../../matrix/auth-power-levels.ts';
import { memberOf } from '../../matrix/json.ts';
import { type RoomEvent, redactEvent } from '../../matrix/pdu.ts';
import type { Snapshot, Tx } from '../../storage/index.ts';
import {
  addRedaction,
  addRelation,
  dropOriginal,
  keepOriginal,
  originalOf,
  redactionsOf,
} from '../storage/annotations.ts';
import { type EventMeta, flag } from '../storage/event-rows.ts';
import { type Stores, authStateAt } from '../stores.ts';
import type { EventNid, Room } from '../types.ts';
import type { Phase } from './job.ts';

export const annotate: Phase = (tx, job, tools) => {
  annotateOthers(tx, job, tools);
  applyRedactions(tools.stores, tx, job.room, job.nid, tools.now());
  return undefined;
};

/** The same for an event of our own: nothing can have named it yet. */
export const annotateOthers: Phase = (tx, job, { stores, now }) => {
  const { event, room } = job;
  const relation = relationOf(event);
  if (relation !== undefined && job.known === undefined) addRelation(tx, relation.parent, relation.relType, job.nid);
  if (event.redacts === undefined) return undefined;
  addRedaction(tx, event.redacts, job.nid);
  const target = stores.events.nidOf(tx, event.redacts);
  if (target > 0 && applyRedactions(stores, tx, room, target, now())) {
    const { nid, roomId } = room;
    job.entries.push({ topic: 'event.redacted', room: nid, roomId, event: target, redaction: job.nid });
  }
  return undefined;
};

/** What an event relates to by `m.relates_to` (C-S API §Forming relationships between events). */
export function relationOf(event: RoomEvent): { readonly parent: string; readonly relType: string } | undefined {
  const relates = memberOf(event.content, 'm.relates_to');
  const relType = memberOf(relates, 'rel_type');
  const parent = memberOf(relates, 'event_id');
  return typeof relType === 'string' && typeof parent === 'string' ? { parent, relType } : undefined;
}

/** True when this redaction, as judged now, redacts that event. */
export function isInForce(
  stores: Stores,
  snapshot: Snapshot,
  room: Room,
  redaction: EventMeta,
  target: EventMeta,
): boolean {
  if ((redaction.flags & (flag.outlier | flag.rejected | flag.softFailed)) !== 0) return false;
  if (redaction.room !== room.nid || target.room !== room.nid || redaction.nid === target.nid) return false;
  // In versions 1 and 2 the auth rules have judged it.
  if (room.rules.redactionAuthRule) return true;
  const { sender } = stores.events.forAuth(snapshot, redaction.nid, room.rules);
  const state = authStateAt(stores, snapshot, room, redaction.snapshot);
  if (state.get('m.room.create', '') === undefined) return false;
  const levels = powerLevelsOf(state, room.rules);
  return mayRedact(sender, stores.events.forAuth(snapshot, target.nid, room.rules).sender, levels);
}

/** The redaction that is in force on an event, 0: none. */
export function redactionInForce(stores: Stores, snapshot: Snapshot, room: Room, target: EventMeta): EventNid {
  const candidates = redactionsOf(snapshot, target.eventId);
  const found = candidates.find((nid) => {
    const redaction = stores.events.meta(snapshot, nid);
    return redaction !== undefined && isInForce(stores, snapshot, room, redaction, target);
  });
  return found ?? (0 as EventNid);
}

/** Brings an event's mark and texts to what the redactions that name it say; true when it became redacted now. */
export function applyRedactions(stores: Stores, tx: Tx, room: Room, nid: EventNid, now: number): boolean {
  const target = stores.events.knownMeta(tx, nid);
  const redaction = redactionInForce(stores, tx, room, target);
  if (redaction === target.redactedBy) return false;
  if (redaction > 0 && target.redactedBy > 0) {
    stores.events.updateRedactedBy(tx, nid, redaction);
    return false;
  }
  if (redaction > 0) {
    keepOriginal(tx, nid, now, stores.events.texts(tx, nid));
    stores.events.updateRedacted(tx, nid, redaction, redactedTexts(stores, tx, room, nid));
    return true;
  }
  // Withdrawn: the original comes back, if it is still there.
  const original = originalOf(tx, nid);
  if (original === undefined) return false;
  stores.events.updateRedacted(tx, nid, 0 as EventNid, original);
  dropOriginal(tx, nid);
  return false;
}

/** The texts that an event is stored as once it is redacted. */
export function redactedTexts(
  { events }: Stores,
  snapshot: Snapshot,
  { rules }: Room,
  nid: EventNid,
): ReturnType<Stores['events']['texts']> {
  const redacted = redactEvent(events.parsed(snapshot, nid, rules), rules);
  return events.textsOf(redacted, rules, events.prevNids(snapshot, nid));
}
