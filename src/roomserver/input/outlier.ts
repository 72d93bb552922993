/**
 * The way of an outlier: judged by its own auth events alone, stored without a place in the graph. Rooms come in by
 * thousands of them that cite the same few events, so what is cited is looked up once a transaction.
 */
import type { AuthEvent } from '../../matrix/auth-types.ts';
import type { CitedEvent } from '../../matrix/event-auth.ts';
import type { EventId } from '../../matrix/ids.ts';
import type { Tx } from '../../storage/index.ts';
import type { Verdict } from '../core.ts';
import { redactionsOf } from '../storage/annotations.ts';
import { flag } from '../storage/event-rows.ts';
import type { EventNid, Room } from '../types.ts';
import { annotateOthers, applyRedactions } from './annotate.ts';
import { failureByCited, citedEvent } from './checks.ts';
import type { Job, PipelineTools } from './job.ts';
import { endKnown } from './known.ts';
import { storeEvent } from './store.ts';

interface Cited extends CitedEvent {
  readonly nid: EventNid;
}

/**
 * What one transaction has looked up. Only outliers are stored while it is in use: no verdict on a stored event changes,
 * what is stored stays.
 */
export class CitedOnce {
  readonly #events = new Map<EventId, Cited>();
  #create: AuthEvent | undefined;

  /** Undefined: not stored. */
  find(tx: Tx, { stores }: PipelineTools, room: Room, eventId: EventId): Cited | undefined {
    const known = this.#events.get(eventId);
    if (known !== undefined) return known;
    const nid = stores.events.nidOf(tx, eventId);
    if (nid === 0) return undefined;
    const cited = { nid, ...citedEvent(stores, tx, room, nid) };
    this.#events.set(eventId, cited);
    return cited;
  }

  /** The create event for which the room's id stands, from version 12 on. */
  impliedCreate(tx: Tx, { stores }: PipelineTools, room: Room): AuthEvent | undefined {
    if (!room.rules.roomIdIsCreateHash || this.#create !== undefined) return this.#create;
    const create = stores.rooms.head(tx, room.nid).create_event;
    if (create > 0) this.#create = stores.events.forAuth(tx, create, room.rules);
    return this.#create;
  }
}

/** Judges and stores an outlier. */
export function runOutlier(tx: Tx, job: Job, tools: PipelineTools, cited: CitedOnce): Verdict {
  const recorded = endKnown(tx, job, tools);
  if (recorded !== undefined) return recorded;
  const { event, room } = job;
  const found: Cited[] = [];
  for (const eventId of event.authEvents) {
    const one = cited.find(tx, tools, room, eventId);
    if (one === undefined) return { kind: 'dropped', reason: `the auth event ${eventId} is not known`, lacks: true };
    found.push(one);
  }
  job.auth = found.map(({ nid }) => nid);
  const reason = failureByCited(event, found, cited.impliedCreate(tx, tools, room), room.rules);
  if (reason !== undefined) job.failure = { flag: flag.rejected, reason };
  storeEvent(tx, job, tools);
  annotateOthers(tx, job, tools);
  if (redactionsOf(tx, event.eventId).length > 0) applyRedactions(tools.stores, tx, room, job.nid, tools.now());
  for (const entry of job.entries) tools.append(tx, entry);
  const { nid } = job;
  return reason === undefined ? { kind: 'accepted', nid } : { kind: 'rejected', nid, reason };
}
