/** What the parts of remote/ that fetch have in common. */
import type { FederationApi } from '../../fedclient/index.ts';
import type { EventId } from '../../matrix/ids.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import type { RoomServer } from '../room-core.ts';
import type { Stores } from '../stores.ts';
import type { PduChecker } from './pdus.ts';
import type { RoomServers } from './servers.ts';

export interface FetchParts {
  readonly api: FederationApi;
  readonly db: Database;
  readonly rooms: RoomServer;
  readonly pdus: PduChecker;
  readonly servers: RoomServers;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Stored in any way, as an outlier too. */
export const isStored = ({ events }: Stores, snapshot: Snapshot, eventId: EventId): boolean =>
  events.nidOf(snapshot, eventId) > 0;

/** Stored with the state before it: it has a place in the event graph. */
export function isInGraph({ events }: Stores, snapshot: Snapshot, eventId: EventId): boolean {
  const nid = events.nidOf(snapshot, eventId);
  return nid > 0 && (events.meta(snapshot, nid)?.snapshot ?? 0) > 0;
}

/** The signal of an errand: the caller's, and an end to it after some time. */
export const within = (ms: number, signal: AbortSignal | undefined): AbortSignal =>
  signal === undefined ? AbortSignal.timeout(ms) : AbortSignal.any([signal, AbortSignal.timeout(ms)]);

/** One errand for all who want the same at a time. */
export class Shared<T> {
  readonly #underWay = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const started = work().finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, started);
    return started;
  }
}
