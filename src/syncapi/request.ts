/** One /sync request, checked: what the query parameters of the endpoint mean (C-S API v1.19 §Syncing). */
import type { Filter } from '../matrix/filters.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Position, Shown } from '../storage/index.ts';
import type { PresenceState } from './sources.ts';

/** The name under which the state at the end of the timeline was asked for (MSC4222). */
export type StateAfterName = 'state_after' | 'org.matrix.msc4222.state_after';

export interface SyncRequest {
  readonly user: UserId;
  /** Absent for application services without a device: such a client gets nothing that belongs to a device. */
  readonly deviceId: string | undefined;
  /** 0: initial. */
  readonly since: Position;
  readonly filter: Filter;
  /** What the client has for sure: messages to its device up to here may go. */
  readonly received: Position;
  readonly fullState: boolean;
  /** How long to wait for something to tell, ms. */
  readonly timeout: number;
  /** undefined: `state`, as of the start of the timeline, is wanted. */
  readonly stateAfter: StateAfterName | undefined;
  readonly presence: PresenceState;
  /** Told what the response shows. */
  readonly shown: Shown;
  /** Aborted when the client has gone or the server stops. */
  readonly signal: AbortSignal;
}
