/**
 * One event on its way through the pipeline: what the phases have found out about it. A phase reads what earlier ones
 * set, sets its own part, and may end the way with a verdict.
 */
import type { EventId, RoomId, ServerName } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { StoredEntry } from '../../bus/index.ts';
import type { Position, Tx } from '../../storage/index.ts';
import type { InputKind, Verdict } from '../core.ts';
import type { PolicySignatures } from '../policy-signatures.ts';
import type { Resolver } from '../state/resolve.ts';
import type { EventMeta } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, Room, RoomNid, SnapshotNid } from '../types.ts';
import { type Cited, CitedOnce } from './cited.ts';
import type { ReadState } from './told.ts';

/** What the phases work with. */
export interface PipelineTools {
  readonly stores: Stores;
  readonly resolver: Resolver;
  /** ms */
  readonly now: () => number;
  readonly append: (tx: Tx, entry: StoredEntry, position?: Position) => void;
  /** A room is partial no more: its state is whole, or it was given up. Called when that is committed. */
  readonly onPartialEnd: (room: RoomNid) => void;
  readonly policies: PolicySignatures;
  /** The current state went back with nothing new to cause it. Called when that is committed. */
  readonly onStateReset: (reset: StateReset) => void;
}

/** A membership, power level or join rule that a resolution changed back, or away, without a new event to cause it. */
export interface StateReset {
  readonly room: RoomId;
  /** The event with which the resolution came. */
  readonly event: EventId;
  /** What was resolved: the forward extremities. */
  readonly extremities: readonly EventId[];
  /** `to` undefined: there is no such state any more. */
  readonly changes: readonly {
    readonly type: string;
    readonly stateKey: string;
    readonly from: EventId;
    readonly to: EventId | undefined;
  }[];
}

export interface Job {
  readonly event: RoomEvent;
  readonly room: Room;
  readonly kind: InputKind;
  /** A large state resolution may end the unit with ResolutionTooLarge. */
  readonly mayDefer: boolean;
  /** The state before the event as another server told it, as event ids; all of them are stored. */
  readonly toldState: readonly EventId[] | undefined;
  /** The same where it was read ahead. */
  readonly readState: ReadState | undefined;
  /** The state after missing prev events as another server told it. */
  readonly toldAfter: ReadonlyMap<EventId, SnapshotNid>;
  /** Why a policy server does not recommend the event; undefined: it does, or there is none. */
  readonly notRecommended: string | undefined;
  /** Made here on all forward extremities: nothing else leads to the state after it. */
  readonly coversAll: boolean;
  /** The event and its state replace what we knew of the room (INVARIANTS 13). */
  readonly replacesRoom: boolean;
  /** The server that the event came in by, when we let it into the room. */
  readonly broughtBy: ServerName | undefined;
  /** Slot that a back-filled event gets, when a child of it has one. */
  readonly slot: Position | undefined;

  /** What was looked up in this transaction. */
  readonly citedOnce: CitedOnce;

  /** The state before the event lacks members: `toldState` does, or that of a prev event did. */
  partial: boolean;
  /** The outlier that it was until now. */
  known: EventMeta | undefined;
  /** The auth events, in the order cited, and their NIDs. */
  cited: readonly Cited[];
  auth: readonly EventNid[];
  /** Prev events that are stored and whose state is known. */
  prev: readonly EventMeta[];
  /** Prev events that are not. */
  missing: readonly EventId[];
  /** 0: an outlier. */
  before: SnapshotNid;
  after: SnapshotNid;
  failure: { readonly flag: number; readonly reason: string } | undefined;
  nid: EventNid;
  /** Its `client` text, once it is stored anew. */
  client: string;
  /** Position of the event in the log, or of the change of state that it brings. */
  position: Position | undefined;
  stateChanged: boolean;
  /** Log entries that follow the event's own. */
  readonly entries: StoredEntry[];
}

/** One step of the pipeline; a verdict ends it. */
export type Phase = (tx: Tx, job: Job, tools: PipelineTools) => Verdict | undefined;

const noneTold: ReadonlyMap<EventId, SnapshotNid> = new Map();

export const newJob = (
  given: Pick<Job, 'event' | 'room' | 'kind'> &
    Partial<
      Pick<
        Job,
        | 'mayDefer'
        | 'toldState'
        | 'readState'
        | 'citedOnce'
        | 'toldAfter'
        | 'notRecommended'
        | 'replacesRoom'
        | 'coversAll'
        | 'slot'
        | 'partial'
        | 'broughtBy'
      >
    >,
): Job => ({
  mayDefer: false,
  toldState: undefined,
  readState: undefined,
  toldAfter: noneTold,
  notRecommended: undefined,
  replacesRoom: false,
  coversAll: false,
  slot: undefined,
  partial: false,
  broughtBy: undefined,
  ...given,
  citedOnce: given.citedOnce ?? new CitedOnce(),
  known: undefined,
  cited: [],
  auth: [],
  prev: [],
  missing: [],
  before: 0 as SnapshotNid,
  after: 0 as SnapshotNid,
  failure: undefined,
  nid: 0 as EventNid,
  client: '',
  position: undefined,
  stateChanged: false,
  entries: [],
});

/** The Position of this job's changes, taken when first asked for. */
export function positionOf(tx: Tx, job: Job): Position {
  job.position ??= tx.nextPosition();
  return job.position;
}
