/** Rooms as other servers tell them: what they send is checked, what is missing is fetched. Uses fedclient, knows no routes. */
import type { FedClient } from '../../fedclient/index.ts';
import type { ServerName } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import type { Measure } from '../../util/metrics.ts';
import type { Task } from '../../util/tasks.ts';
import { type FetchState, PartialRooms } from '../partial/partial-rooms.ts';
import type { RoomServer } from '../room-core.ts';
import { AuthEvents } from './auth-events.ts';
import { RemoteAliases } from './aliases.ts';
import { Backfill } from './backfill.ts';
import { EventsByTime } from './by-time.ts';
import { RemoteDirectory } from './directory.ts';
import { Handshakes } from './handshakes.ts';
import { Intake } from './intake.ts';
import { mergeExtremities } from './merging.ts';
import { MissingEvents } from './missing.ts';
import type { FetchParts } from './parts.ts';
import { PduChecker } from './pdus.ts';
import { policyAsker, Recommendations } from './recommendations.ts';
import { RoomServers } from './servers.ts';
import { SingleEvents } from './single-events.ts';
import { ToldStates } from './told-state.ts';

export type { RemoteAlias, RemoteAliases } from './aliases.ts';
export type { BackfillWish } from './backfill.ts';
export type { TimeWish } from './by-time.ts';
export type { RemoteDirectory, RemotePublicRooms } from './directory.ts';
export type { Handshakes } from './handshakes.ts';
export { type Hierarchy, type HierarchyRequest, readHierarchy } from './hierarchy.ts';
export type { Outcome, Settle } from './intake.ts';
export type { CheckedPdus, CheckWish, FailedPdu, PduChecker } from './pdus.ts';
export type { RoomServers } from './servers.ts';

export interface RemoteRooms extends Disposable {
  readonly pdus: PduChecker;
  readonly aliases: RemoteAliases;
  readonly directory: RemoteDirectory;
  /** Whom to ask about a room. */
  readonly servers: RoomServers;
  /** Rooms that we are entering. */
  readonly handshakes: Handshakes;
  readonly intake: Intake;
  /** What policy servers say of received events (check 7). */
  readonly recommendations: Recommendations;
  /** Rooms that were joined without their members. */
  readonly partial: PartialRooms;
  /** Fetches history before a gap; true: something came, read again. */
  readonly backfill: Backfill['backfill'];
  /** Whether `backfill` has anything to ask for now. */
  readonly hasGap: Backfill['isWorthwhile'];
  /** Fetches the event that others find nearer to a time than our own; true: it came, look again. */
  readonly fetchNearer: EventsByTime['fetchNearer'];
  readonly tasks: readonly Task[];
  readonly measures: readonly Measure[];
}

/** ms */
const mergeEveryMs = 60_000;

export interface RemoteRoomsParts {
  readonly federation: FedClient;
  readonly db: Database;
  readonly rooms: RoomServer;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createRemoteRooms(given: RemoteRoomsParts): RemoteRooms {
  const { federation, db, rooms, serverName, clock } = given;
  const stopping = new AbortController();
  const pdus = new PduChecker(federation);
  const servers = new RoomServers(given);
  const log = given.log.child({ module: 'remote rooms' });
  const parts: FetchParts = { api: federation.api, db, rooms, pdus, servers, clock, log };
  const singles = new SingleEvents(parts);
  const auth = new AuthEvents(parts, singles);
  const states = new ToldStates(parts, singles, auth, stopping.signal);
  const recommendations = new Recommendations(parts);
  const intake = new Intake(parts, new MissingEvents(parts, states), auth, recommendations);
  const backfill = new Backfill(parts, auth, states);
  const byTime = new EventsByTime(parts, backfill);
  const fetchState: FetchState = (room, eventId, server, signal) => states.wholeAfter(room, eventId, server, signal);
  const partial = new PartialRooms({ db, tools: rooms.tools, serverName, fetchState, clock, log });
  rooms.onPartialEnd((room) => partial.ended(room));
  rooms.tools.policies.askBy(policyAsker(federation.api));
  let resets = 0;
  rooms.onStateReset((reset) => {
    resets += 1;
    log.warn(reset, 'a state resolution took state back though nothing new asked for it');
  });
  return {
    ...{
      partial,
      pdus,
      servers,
      recommendations,
      handshakes: new Handshakes(),
      intake,
      aliases: new RemoteAliases(federation),
    },
    directory: new RemoteDirectory(federation),
    tasks: [
      {
        name: 'merge forward extremities',
        everyMs: mergeEveryMs,
        run: (signal) => mergeExtremities({ db, rooms, log }, signal),
      },
    ],
    measures: [
      {
        name: 'neurite_room_state_resets_total',
        help: 'Resolutions that took a membership, power level or join rule back without a new event to cause it',
        kind: 'counter',
        read: () => resets,
      },
    ],
    backfill: (room, wish, signal) => backfill.backfill(room, wish, signal),
    hasGap: (room, wish) => backfill.isWorthwhile(room, wish),
    fetchNearer: (room, wish, signal) => byTime.fetchNearer(room, wish, signal),
    [Symbol.dispose]: () => stopping.abort(),
  };
}
