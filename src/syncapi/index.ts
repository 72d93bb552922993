/**
 * Syncapi: /sync in three modes over one integer token, and paging through rooms with the same tokens. Builds the notifier,
 * the engine and the older event stream over the modules below it.
 */
import { type Bus, LaggingConsumer } from '../bus/index.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { cacheMeasure, type Measure } from '../util/metrics.ts';
import { EventStream } from './event-stream.ts';
import { searchConsumer } from './search/indexer.ts';
import { LazyMembers } from './lazy-members.ts';
import { Notifier } from './notifier.ts';
import type { SyncChoices } from './pass.ts';
import type { Counts, PushRuleSource, UserData } from './sources.ts';
import { SyncEngine } from './sync.ts';
import { threadEventsProjection } from './thread-events.ts';

export { readContext, type ContextRequest } from './context.ts';
export type { EventStream, EventStreamRequest } from './event-stream.ts';
export type { HistoryWish, MissingHistory, NearerWish } from './gaps.ts';
export { readInitialSync, readRoomInitialSync, type InitialSyncParts } from './initial-sync.ts';
export { readMessages, type MessagesRequest } from './messages.ts';
export type { Direction } from './page.ts';
export { parseCut, positionBefore } from './place-token.ts';
export { readRelations, type RelationsRequest } from './relations.ts';
export type { Asker, ReadParts } from './room-read.ts';
export { repairThreadEvents, verifyThreadEvents } from './thread-events.ts';
export { searchConsumer } from './search/indexer.ts';
export { readSearch, type GroupKey, type SearchRequest } from './search/search.ts';
export { readThreads, type ThreadsRequest } from './threads.ts';
export { readEventAtTime, type TimestampRequest } from './timestamp.ts';
export type { StateAfterName, SyncRequest } from './request.ts';
export { deviceListChanges, type DeviceListChanges } from './sharing.ts';
export type * from './sources.ts';
export type { SyncAnswer, SyncEngine } from './sync.ts';
export type { Notifier } from './notifier.ts';
export { parseSyncToken } from './token.ts';

export interface SyncApi {
  readonly engine: SyncEngine;
  readonly notifier: Notifier;
  readonly userData: UserData;
  readonly eventStream: EventStream;
  /** Keeps the search index; `start()` takes up what a crash left undone. */
  readonly searchIndex: LaggingConsumer;
  readonly measures: readonly Measure[];
}

export interface SyncApiParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly userData: UserData;
  readonly push: { readonly counts: Counts; readonly rules: PushRuleSource };
  readonly clock: Clock;
  readonly log: Logger;
  /** The `sync` section of the configuration. */
  readonly config: SyncChoices & { readonly linearMaxEntries: number };
}

/** Words of new messages are indexed in batches; who searches does not wait for the next one. */
const searchLagMs = 1000;

/** Builds the module and adds its projection to the bus. */
export function createSyncApi({ db, bus, rooms, userData, push, clock, log, config }: SyncApiParts): SyncApi {
  bus.addProjection(threadEventsProjection(rooms));
  const notifier = new Notifier(db, bus, rooms);
  const lazyMembers = new LazyMembers();
  const engine = new SyncEngine({
    ...{ db, bus, rooms, userData, counts: push.counts, pushRules: push.rules },
    ...{ notifier, lazyMembers, clock, log, ...config },
  });
  const eventStream = new EventStream({ db, bus, rooms, userData, clock });
  const searchIndex = new LaggingConsumer({ db, bus, clock, log, consumer: searchConsumer(rooms), lagMs: searchLagMs });
  const measures = measuresOf(engine, notifier, lazyMembers);
  return { engine, notifier, userData, eventStream, searchIndex, measures };
}

const measuresOf = (engine: SyncEngine, notifier: Notifier, lazyMembers: LazyMembers): Measure[] => [
  { name: 'neurite_sync_parked', help: 'Syncs that wait for news', kind: 'gauge', read: () => notifier.parked },
  { name: 'neurite_sync_wakes_total', help: 'Waiting syncs woken', kind: 'counter', read: () => notifier.wakes },
  {
    name: 'neurite_sync_queue',
    help: 'Passes that wait for their turn',
    kind: 'gauge',
    labels: ['length'],
    read: () => Object.entries(engine.waiting).map(([length, value]) => ({ labels: { length }, value })),
  },
  cacheMeasure('sync', 'entries', () => ({ lazy_members: lazyMembers.size })),
];
