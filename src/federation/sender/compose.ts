/**
 * What one destination is sent next, decided and written down in one transaction of the database: events behind its
 * cursor that it was there to see, exceptions, messages to devices, changes of devices, then what is fleeting.
 */
import type { ServerName } from '../../matrix/ids.ts';
import type { EventNid, RoomNid, RoomReader } from '../../roomserver/index.ts';
import { asPosition, type Position, type Tx } from '../../storage/index.ts';
import { catchUp } from './catch-up.ts';
import { takeDeviceChange, type DeviceEduParts } from './device-changes.ts';
import type { Introductions } from './introductions.ts';
import {
  deleteException,
  deleteToDevice,
  selectDeviceChanges,
  selectExceptions,
  selectOutbox,
  selectSender,
  selectToDevice,
} from './storage.ts';
import { mostEdus, mostPdus } from './transaction.ts';

export interface ComposeParts extends DeviceEduParts {
  readonly rooms: RoomReader;
  readonly introductions: Pick<Introductions, 'isHeld' | 'count'>;
}

export interface Composed {
  /** How far the destination is when it has taken this. */
  readonly cursor: Position;
  readonly events: readonly EventNid[];
  /** JSON texts of EDUs. */
  readonly edus: readonly string[];
  /** More waits behind it. */
  readonly more: boolean;
}

/** An event to send, by its Position in the log. */
export interface Candidate {
  readonly position: number;
  readonly event: EventNid;
}

/** Events behind a cursor, in order. */
export interface Batch {
  readonly events: readonly Candidate[];
  readonly cursor: number;
  readonly more: boolean;
}

/** Rows looked at for one transaction, in steps: most are for rooms that the destination is not in. */
const rowsAtOnce = 200;
const mostRows = 4000;
/** Characters of EDUs after which no further message is taken. */
const eduText = 512 * 1024;

/** Takes what waits for a server behind `cursor`; the caller keeps it in the same unit. */
export function compose(tx: Tx, parts: ComposeParts, server: ServerName, cursor: Position): Composed {
  const { trimmed } = tx.get(selectSender) ?? { trimmed: 0 };
  const batch =
    cursor < trimmed
      ? catchUp(tx, parts.rooms, server, cursor, asPosition(trimmed))
      : eventsBehind(tx, parts.rooms, server, cursor);
  const merged = addExceptions(tx, server, cursor, batch);
  const edus = takeEdus(tx, parts, server);
  return {
    cursor: asPosition(merged.cursor),
    events: merged.events.map(({ event }) => event),
    edus: edus.texts,
    more: merged.more || edus.more,
  };
}

/** INVARIANTS 21: who was in the room in the state before the event, by the intervals at the event's Position. */
function eventsBehind(tx: Tx, rooms: RoomReader, server: ServerName, from: Position): Batch {
  const events: Candidate[] = [];
  let cursor: number = from;
  for (let looked = 0; looked < mostRows; looked += rowsAtOnce) {
    const rows = tx.all(selectOutbox, cursor, rowsAtOnce);
    for (const { position, room, event, brought_by: broughtBy } of rows) {
      if (broughtBy !== server && rooms.wasHost(tx, server, room as RoomNid, asPosition(position))) {
        if (events.length === mostPdus) return { events, cursor, more: true };
        events.push({ position, event: event as EventNid });
      }
      cursor = position;
    }
    if (rows.length < rowsAtOnce) return { events, cursor, more: false };
  }
  return { events, cursor, more: true };
}

/** Puts the exceptions in between; what no longer fits waits for the next transaction. */
function addExceptions(tx: Tx, server: ServerName, from: Position, batch: Batch): Batch {
  const exceptions = tx.all(selectExceptions, server, mostPdus + 1);
  if (exceptions.length === 0) return batch;
  const bound = batch.more ? batch.cursor : Infinity;
  const own = exceptions.filter(({ position }) => position <= bound);
  const all = [
    ...batch.events.map((event) => ({ ...event, exception: false })),
    ...own.map(({ position, event }) => ({ position, event: event as EventNid, exception: true })),
  ].sort((a, b) => a.position - b.position);
  const taken = all.slice(0, mostPdus);
  for (const { position, exception } of taken) if (exception) tx.run(deleteException, server, position);
  const left = all.slice(mostPdus);
  const more = batch.more || left.length > 0 || own.length < exceptions.length;
  if (!left.some(({ exception }) => !exception)) return { events: taken, cursor: batch.cursor, more };
  // Events of rooms were left over: the next transaction begins behind the last that was taken.
  const last = taken.findLast(({ exception }) => !exception);
  return { events: taken, cursor: last?.position ?? from, more };
}

function takeEdus(tx: Tx, parts: ComposeParts, server: ServerName): { texts: string[]; more: boolean } {
  const texts: string[] = [];
  const { introductions } = parts;
  const changes = tx
    .all(selectDeviceChanges, server, mostEdus + 1 + introductions.count(server))
    .filter(({ user_id: user }) => !introductions.isHeld(server, user));
  // Who gets a message must be able to know the device that sent it: keys come first.
  for (const change of changes.slice(0, mostEdus)) {
    const text = takeDeviceChange(tx, parts, server, change);
    if (text !== undefined) texts.push(text);
  }
  const room = mostEdus - texts.length;
  const messages = tx.all(selectToDevice, server, room + 1);
  let size = 0;
  let taken = 0;
  for (const { position, content } of messages.slice(0, room)) {
    if (size > eduText) break;
    texts.push(`{"content":${content},"edu_type":"m.direct_to_device"}`);
    tx.run(deleteToDevice, server, position);
    size += content.length;
    taken += 1;
  }
  return { texts, more: changes.length > mostEdus || taken < messages.length };
}
