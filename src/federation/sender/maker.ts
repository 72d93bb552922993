/** Makes the transactions of destinations: the next one of what waits, kept on disk until it is taken. */
import type { ServerName } from '../../matrix/ids.ts';
import type { Database, Position, Tx } from '../../storage/index.ts';
import type { Presence } from '../../userapi/index.ts';
import type { Clock } from '../../util/clock.ts';
import { compose, type ComposeParts } from './compose.ts';
import type { Destination } from './destination.ts';
import { updateBody, upsertDestination } from './storage.ts';
import { keepTransaction, keptTransaction, mostEdus, outgoingOf, type Outgoing } from './transaction.ts';

export interface MakerParts extends ComposeParts {
  readonly db: Database;
  readonly serverName: ServerName;
  readonly presence: Presence;
  readonly clock: Clock;
}

export class TransactionMaker {
  readonly #parts: MakerParts;
  /** Transaction ids grow with time, so that a restored database does not give out those that peers have seen. */
  readonly #firstId: string;
  #made = 0;

  constructor(parts: MakerParts) {
    this.#parts = parts;
    this.#firstId = parts.clock.now().toString(36);
  }

  /** The transaction to send: the one that was not taken yet, or one of what waits. */
  async next(destination: Destination): Promise<Outgoing | undefined> {
    const { db, rooms, serverName, presence, clock } = this.#parts;
    const { server } = destination;
    if (destination.kept !== 'no') {
      const kept = db.read((snapshot) => keptTransaction(snapshot, rooms, serverName, server));
      if (kept !== undefined) return kept;
      destination.kept = 'no';
    }
    if (destination.waits) {
      destination.waits = false;
      try {
        const composed = await db.write((tx) => this.#compose(tx, destination));
        destination.cursor = composed.cursor;
        destination.waits ||= composed.more;
        if (composed.outgoing !== undefined) {
          destination.kept = 'parts';
          destination.hasRow = true;
          return composed.outgoing;
        }
      } catch (error) {
        destination.waits = true;
        throw error;
      }
    }
    const edus = destination.fleeting.take((user) => presence.get(user), mostEdus);
    if (edus.length === 0) return undefined;
    const transaction = { id: this.#newId(), ts: clock.now(), events: [], edus };
    return db.read((snapshot) => outgoingOf(snapshot, rooms, serverName, transaction));
  }

  /** From now on the transaction waits on disk, word for word. */
  async keep(destination: Destination, { id, body }: Outgoing): Promise<void> {
    const { db, clock } = this.#parts;
    const { server, cursor, kept } = destination;
    if (kept !== 'body') {
      await db.write((tx) => {
        if (kept === 'parts') tx.run(updateBody, body, server);
        else tx.run(upsertDestination, server, cursor, id, clock.now(), '[]', null, body);
      });
    }
    destination.hasRow = true;
    destination.kept = 'body';
    destination.outgoing = undefined;
  }

  #compose(
    tx: Tx,
    { server, cursor: from, fleeting }: Destination,
  ): { readonly cursor: Position; readonly more: boolean; readonly outgoing: Outgoing | undefined } {
    const { rooms, serverName, presence, clock } = this.#parts;
    const { cursor, events, edus: durable, more } = compose(tx, this.#parts, server, from);
    if (events.length === 0 && durable.length === 0) return { cursor, more, outgoing: undefined };
    const edus = [...durable, ...fleeting.take((user) => presence.get(user), mostEdus - durable.length)];
    const transaction = { id: this.#newId(), ts: clock.now(), events, edus };
    keepTransaction(tx, server, cursor, transaction);
    return { cursor, more, outgoing: outgoingOf(tx, rooms, serverName, transaction) };
  }

  #newId(): string {
    this.#made += 1;
    return `${this.#firstId}-${this.#made}`;
  }
}
