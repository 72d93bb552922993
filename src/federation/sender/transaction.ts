/** Transactions (S-S API v1.19 §Transactions): what one is made of, its text, and how it is kept for the next start. */
import type { EventNid, RoomReader } from '../../roomserver/index.ts';
import type { ServerName } from '../../matrix/ids.ts';
import type { Position, Snapshot, Tx } from '../../storage/index.ts';
import { selectDestination, upsertDestination } from './storage.ts';

/** "Each transaction is limited to 50 PDUs and 100 EDUs." */
export const mostPdus = 50;
export const mostEdus = 100;

/** A transaction as it is kept: events by number, since their texts are stored already. */
export interface Transaction {
  readonly id: string;
  /** ms */
  readonly ts: number;
  readonly events: readonly EventNid[];
  /** JSON texts. */
  readonly edus: readonly string[];
}

/** What is sent, the same at each attempt. */
export interface Outgoing {
  readonly id: string;
  readonly body: string;
  readonly pdus: number;
  readonly edus: number;
}

/** The body of a transaction; events that are gone (purged) are left out. */
export function outgoingOf(
  snapshot: Snapshot,
  rooms: RoomReader,
  origin: ServerName,
  { id, ts, events, edus }: Transaction,
): Outgoing {
  const pdus = events.flatMap((nid) => (rooms.event(snapshot, nid) === undefined ? [] : rooms.pduText(snapshot, nid)));
  const list = (texts: readonly string[]): string => `[${texts.join(',')}]`;
  const body = `{"edus":${list(edus)},"origin":${JSON.stringify(origin)},"origin_server_ts":${ts},"pdus":${list(pdus)}}`;
  return { id, body, pdus: pdus.length, edus: edus.length };
}

/** Writes down a server's transaction, in the place of the one before, and how far it brings the server. */
export function keepTransaction(tx: Tx, server: ServerName, cursor: Position, transaction: Transaction): void {
  const { id, ts, events, edus } = transaction;
  const eduTexts = edus.length === 0 ? null : `[${edus.join(',')}]`;
  tx.run(upsertDestination, server, cursor, id, ts, JSON.stringify(events), eduTexts, null);
}

/** The transaction that a server had not taken when the last process ended. */
export function keptTransaction(
  snapshot: Snapshot,
  rooms: RoomReader,
  origin: ServerName,
  server: ServerName,
): Outgoing | undefined {
  const row = snapshot.get(selectDestination, server);
  if (row === undefined || row.txn_id === null) return undefined;
  const events = JSON.parse(row.txn_events ?? '[]') as EventNid[];
  // Parsed and written again they are the same texts: they were written by the same function.
  const edus = (JSON.parse(row.txn_edus ?? '[]') as unknown[]).map((edu) => JSON.stringify(edu));
  const transaction = { id: row.txn_id, ts: row.txn_ts ?? 0, events, edus };
  if (row.txn_body === null) return outgoingOf(snapshot, rooms, origin, transaction);
  return { id: row.txn_id, body: row.txn_body, pdus: events.length, edus: edus.length };
}
