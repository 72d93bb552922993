/** One destination that something waits for: where it stands, in memory. There is none for who has everything. */
import type { ServerName } from '../../matrix/ids.ts';
import type { Position } from '../../storage/index.ts';
import { FleetingValues } from './fleeting.ts';
import type { Outgoing } from './transaction.ts';

export class Destination {
  readonly server: ServerName;
  /** Events up to here it has, or they are in the transaction. */
  cursor: Position;
  /** Events behind the cursor, or other things that are on disk, may wait for it. */
  waits = false;
  readonly fleeting = new FleetingValues();
  /** The transaction under way, while it is in memory. */
  outgoing: Outgoing | undefined;
  /** The transaction under way is on disk: all of it (`body`), what it is made of (`parts`), or not. */
  kept: 'no' | 'parts' | 'body' = 'no';
  /** It has a row, which tells the next process where it stands. */
  hasRow = false;
  state: 'idle' | 'ready' | 'running' | 'pausing' = 'idle';
  /** ms; when a transaction was last sent. */
  sentAt = 0;
  /** Transactions that followed each other closely, the last one too. */
  burst = 0;
  /** Refusals that say nothing about whether the server works: the pauses after them. */
  refusal: { readonly since: number; readonly pauseMs: number } | undefined;

  /** Are called after its next turn. */
  readonly watchers = new Set<() => void>();

  constructor(server: ServerName, cursor: Position) {
    this.server = server;
    this.cursor = cursor;
  }

  /** There is something to send, or to send again. */
  get isWanted(): boolean {
    return this.outgoing !== undefined || this.kept !== 'no' || this.waits || !this.fleeting.isEmpty;
  }
}
