/**
 * Receiving events made elsewhere: a batch of one room is judged event by event, several in one transaction. A state
 * resolution that is too large for a transaction is prepared between two of them.
 */
import { creatorsOf } from '../../matrix/auth-power-levels.ts';
import { authorise } from '../../matrix/event-auth.ts';
import type { EventId, RoomId, UserId } from '../../matrix/ids.ts';
import { memberOf } from '../../matrix/json.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { type RoomVersionRules, roomVersionOfCreate, rulesOfVersion } from '../../matrix/room-versions.ts';
import type { Database, Position, Tx } from '../../storage/index.ts';
import type { InputKind, InputOptions, RoomInput, Verdict } from '../core.ts';
import { ResolutionTooLarge } from '../state/resolve.ts';
import type { Room, SnapshotNid } from '../types.ts';
import { CitedOnce } from './cited.ts';
import { findAuth, findEdges } from './edges.ts';
import { type Job, type PipelineTools, newJob, positionOf } from './job.ts';
import { endKnown } from './known.ts';
import { runOutlier } from './outlier.ts';
import { runReceived } from './pipeline.ts';
import { placeBackfilled } from './places.ts';
import { findStateBefore } from './state-before.ts';
import { readAhead, type ReadState, readToldState, storeReadState } from './told.ts';

/** Time after which a transaction of a batch takes no further event, in ms. */
const unitBudgetMs = 8;

/** A batch on its way. */
interface Batch {
  readonly roomId: RoomId;
  readonly events: readonly RoomEvent[];
  readonly kind: InputKind;
  readonly options: InputOptions;
  readonly slots: ReadonlyMap<EventId, Position> | undefined;
  readonly toldAfter: ReadonlyMap<EventId, SnapshotNid>;
  /** The big ones of `stateBefore`. */
  readonly readStates: ReadonlyMap<EventId, ReadState>;
}

export function roomInput(db: Database, tools: PipelineTools): RoomInput {
  return {
    async input(roomId, events, kind, options = {}) {
      const apart = options.apart === true;
      const slots = kind === 'backfilled' ? slotsOf(db, tools, roomId, events, apart) : undefined;
      const toldAfter = await storeTold(db, tools, roomId, options);
      const readStates = await readStatesBefore(db, tools, roomId, options);
      const batch: Batch = { roomId, events, kind, options, slots, toldAfter, readStates };
      const verdicts: Verdict[] = [];
      const written: Promise<unknown>[] = [];
      // After a deferral one event is taken at a time, until the one that was deferred is through.
      let alone = 0;
      while (verdicts.length < events.length) {
        try {
          const limit = alone > 0 ? 1 : events.length;
          const unit = db.begin((tx) => receiveSome(tools, tx, batch, verdicts.length, limit));
          verdicts.push(...(await unit.committed));
          written.push(unit.written);
          alone = Math.max(0, alone - 1);
        } catch (error) {
          if (!(error instanceof ResolutionTooLarge)) throw error;
          if (alone > 0) await prepare(db, tools, batch, verdicts.length, error);
          else alone = error.index - verdicts.length + 1;
        }
      }
      if (options.untilCommitted !== true) await Promise.all(written);
      return new Map(events.map((event, index) => [event.eventId, verdicts[index] ?? unknownRoom]));
    },
  };
}

const unknownRoom: Verdict = { kind: 'dropped', reason: 'the room is not known' };

/** States that others told, stored ahead: a resolution that is prepared between two transactions finds them there. */
async function storeTold(
  db: Database,
  tools: PipelineTools,
  roomId: RoomId,
  { stateAfterMissing }: InputOptions,
): Promise<Map<EventId, SnapshotNid>> {
  const told = new Map<EventId, SnapshotNid>();
  if (stateAfterMissing === undefined) return told;
  const room = db.read((snapshot) => tools.stores.rooms.byId(snapshot, roomId));
  if (room === undefined) return told;
  for (const [eventId, state] of stateAfterMissing) {
    const read = await readToldState(db, tools, room, state);
    if (typeof read === 'string') continue;
    const stored = await db.write((tx) => storeReadState(tx, tools, room, read));
    if (typeof stored === 'number') told.set(eventId, stored);
  }
  return told;
}

async function readStatesBefore(
  db: Database,
  tools: PipelineTools,
  roomId: RoomId,
  { stateBefore }: InputOptions,
): Promise<Map<EventId, ReadState>> {
  const found = new Map<EventId, ReadState>();
  if (stateBefore === undefined) return found;
  const room = db.read((snapshot) => tools.stores.rooms.byId(snapshot, roomId));
  if (room === undefined) return found;
  for (const [eventId, told] of stateBefore) {
    const read = await readAhead(db, tools, room, told);
    if (read !== undefined) found.set(eventId, read);
  }
  return found;
}

function slotsOf(
  db: Database,
  { stores }: PipelineTools,
  roomId: RoomId,
  events: readonly RoomEvent[],
  apart: boolean,
): Map<EventId, Position> {
  return db.read((snapshot) => {
    const room = stores.rooms.byId(snapshot, roomId);
    return room === undefined
      ? new Map<EventId, Position>()
      : placeBackfilled(stores, snapshot, room.nid, events, apart);
  });
}

/** As many events as fit into one transaction, at least one. */
function receiveSome(tools: PipelineTools, tx: Tx, batch: Batch, from: number, limit: number): Verdict[] {
  const started = performance.now();
  const verdicts: Verdict[] = [];
  const cited = new CitedOnce();
  do {
    const index = from + verdicts.length;
    const event = batch.events[index];
    if (event === undefined) break;
    try {
      const verdict = receive(tools, tx, batch, event, cited);
      batch.options.onVerdict?.(tx, event, verdict);
      verdicts.push(verdict);
    } catch (error) {
      if (error instanceof ResolutionTooLarge) error.index = index;
      throw error;
    }
  } while (verdicts.length < limit && performance.now() - started < unitBudgetMs);
  return verdicts;
}

function receive(tools: PipelineTools, tx: Tx, batch: Batch, event: RoomEvent, cited: CitedOnce): Verdict {
  const { rooms } = tools.stores;
  if (event.roomId !== batch.roomId) return { kind: 'dropped', reason: 'the event belongs to another room' };
  const known = rooms.byId(tx, batch.roomId);
  const isCreate = event.type === 'm.room.create' && event.stateKey === '';
  const head = known === undefined || !isCreate ? undefined : rooms.head(tx, known.nid);
  const begun = head?.create_event ?? 0;
  const isNew = isCreate && (begun === 0 || begun !== tools.stores.events.nidOf(tx, event.eventId));
  // What is known of a room that we have never been in may be a lie: who lets us in tells anew.
  const isUnsure = head === undefined || head.snapshot === 0;
  if (isNew && !isUnsure) return { kind: 'dropped', reason: 'the room has another create event' };
  const room = isCreate && isUnsure ? roomOfCreate(tools, tx, event, known) : known;
  if (room === undefined) return unknownRoom;
  const job = jobOf(batch, room, event, () => isInRoom(tools, tx, room), cited);
  const { partial } = tools.stores;
  if (job.partial && isWhole(tools, tx, room)) return { kind: 'dropped', reason: 'the state of the room is whole' };
  const verdict = job.kind === 'outlier' ? runOutlier(tx, job, tools) : runReceived(tx, job, tools);
  const partialJoin = batch.options.partialJoin;
  if (job.partial && partialJoin !== undefined && verdict.kind === 'accepted') {
    const position = positionOf(tx, job);
    const row = { room: room.nid, joinEvent: job.nid, position, joinedVia: partialJoin.via, since: tools.now() };
    partial.begin(tx, row, partialJoin.servers);
  }
  // An outlier that becomes more may have another verdict than before; a create event, another room version.
  if (isCreate || job.known !== undefined) cited.clear();
  if (isNew && verdict.kind !== 'dropped') rooms.setCreateEvent(tx, room.nid, verdict.nid);
  return verdict;
}

const isInRoom = ({ stores }: PipelineTools, tx: Tx, room: Room): boolean =>
  stores.members.servers.isJoined(tx, room.nid, stores.serverName);

/** We are in the room, and know all of its state. */
const isWhole = (tools: PipelineTools, tx: Tx, room: Room): boolean =>
  tools.stores.partial.get(tx, room.nid) === undefined && isInRoom(tools, tx, room);

const jobOf = (
  { kind, options, slots, toldAfter, readStates }: Batch,
  room: Room,
  event: RoomEvent,
  isIn: () => boolean,
  citedOnce: CitedOnce,
): Job =>
  newJob({
    event,
    room,
    kind,
    mayDefer: true,
    toldState: options.stateBefore?.get(event.eventId),
    readState: readStates.get(event.eventId),
    citedOnce,
    toldAfter,
    notRecommended: options.notRecommended?.get(event.eventId),
    // "In the room" is decided in the commit (INVARIANTS 13).
    replacesRoom: options.replacesRoom === event.eventId && !isIn(),
    partial: options.partialJoin?.event === event.eventId,
    broughtBy: options.broughtBy,
    slot: slots?.get(event.eventId),
  });

/** The row of a room that begins with this create event, corrected if need be; undefined when the event is no good. */
function roomOfCreate(tools: PipelineTools, tx: Tx, create: RoomEvent, known: Room | undefined): Room | undefined {
  const version = roomVersionOfCreate(create.content);
  const rules = version === undefined ? undefined : rulesOfVersion(version);
  if (rules === undefined || !authorise(create, { get: () => undefined }, rules).allowed) return undefined;
  if (known === undefined) return insertRoom(tools, tx, create, rules);
  const corrected: Room = { ...known, rules, ...foundersOf(create, rules) };
  tools.stores.rooms.correct(tx, corrected);
  return corrected;
}

/** Makes the row of a room from its create event, whose own row follows. */
export function insertRoom({ stores }: PipelineTools, tx: Tx, create: RoomEvent, rules: RoomVersionRules): Room {
  return stores.rooms.insert(tx, { roomId: create.roomId, rules, ...foundersOf(create, rules) });
}

const foundersOf = (create: RoomEvent, rules: RoomVersionRules): Pick<Room, 'creators' | 'federate'> => ({
  creators: [...new Set([create.sender, ...([...creatorsOf(create, rules)] as UserId[])])],
  federate: memberOf(create.content, 'm.federate') !== false,
});

/**
 * Resolves what a deferred event needs. When that includes the state after the event itself, the event is stored ahead as
 * an outlier, so that its number and that state are there to be resolved.
 */
async function prepare(
  db: Database,
  tools: PipelineTools,
  batch: Batch,
  index: number,
  { sets, event: needed }: ResolutionTooLarge,
): Promise<void> {
  const event = batch.events[index];
  const room = db.read((snapshot) => tools.stores.rooms.byId(snapshot, batch.roomId));
  if (event === undefined || room === undefined) return;
  let wanted = sets;
  if (needed !== undefined) {
    const { before, after } = await db.write((tx) => storeAhead(tools, tx, batch, room, event));
    wanted = sets.map((set) => (set === needed.after ? after : set === needed.before ? before : set));
  }
  await db.snapshot((snapshot) => tools.resolver.prepare(snapshot, room, wanted));
}

function storeAhead(
  tools: PipelineTools,
  tx: Tx,
  batch: Batch,
  room: Room,
  event: RoomEvent,
): { before: SnapshotNid; after: SnapshotNid } {
  const { states, types, keys } = tools.stores;
  const job = jobOf(batch, room, event, () => isInRoom(tools, tx, room), new CitedOnce());
  for (const phase of [endKnown, findAuth, findEdges, findStateBefore]) phase(tx, job, tools);
  const { before } = job;
  if (event.stateKey === undefined) return { before, after: before };
  const outlier = newJob({ event, room, kind: 'outlier' });
  const verdict = runReceived(tx, outlier, tools);
  if (verdict.kind === 'dropped') return { before, after: before };
  const [type, key] = [types.intern(tx, event.type), keys.intern(tx, event.stateKey)];
  return { before, after: states.append(tx, before, type, key, verdict.nid) };
}
