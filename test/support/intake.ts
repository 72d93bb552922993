/**
 * The receiving half of federation over rooms of its own (`us.test`), and peers that keep a room of real events and answer
 * questions about it as the specification says, except where a test has them say otherwise.
 */
import {
  createFederation,
  type EduHandler,
  type Federation,
  type OutOfBandHandler,
} from '../../src/federation/index.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { createRemoteRooms, type RemoteRooms, verifyRoomserver } from '../../src/roomserver/index.ts';
import { type Clock, systemClock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import { startFed, startKeyedPeer, type TestFed, TestNetwork } from './federation.ts';
import { startTestServer, type TestResponse, type TestServer } from './http.ts';
import { SignedRoom } from './room-builder.ts';
import { openTestRooms, roomIdOf, type TestRooms } from './room-core.ts';
import { trusting } from './serving.ts';
import { RoomPeer } from './room-peer.ts';

export const us = 'us.test';
export const alice = '@alice:us.test';

export interface IntakeOptions {
  readonly edus?: Pick<EduHandler, 'handle'>;
  readonly outOfBand?: OutOfBandHandler;
  /** A database whose files are taken as they are now, as if its process had been killed. */
  readonly killed?: string;
  readonly network?: TestNetwork;
  readonly clock?: Clock;
}

export class IntakeWorld implements AsyncDisposable {
  readonly network: TestNetwork;
  readonly rooms: TestRooms;
  readonly fed: TestFed;
  readonly remote: RemoteRooms;
  readonly federation: Federation;
  readonly server: TestServer;
  #transactions = 0;

  constructor(parts: Pick<IntakeWorld, 'network' | 'rooms' | 'fed' | 'remote' | 'federation' | 'server'>) {
    this.network = parts.network;
    this.rooms = parts.rooms;
    this.fed = parts.fed;
    this.remote = parts.remote;
    this.federation = parts.federation;
    this.server = parts.server;
  }

  /** A peer with a public room that alice is in; all of the room is known here. */
  async peerWithRoom(host = 'peer.test', version = '12'): Promise<{ peer: RoomPeer; room: SignedRoom; pat: string }> {
    const peer = await this.peer(host);
    const pat = peer.user('pat');
    const room = SignedRoom.open(version, pat);
    room.join(alice);
    peer.rooms.set(room.roomId, room);
    await this.take(room);
    return { peer, room, pat };
  }

  async peer(host: string): Promise<RoomPeer> {
    const peer: RoomPeer = new RoomPeer(
      await startKeyedPeer(this.network, host, (request, response) => peer.answer(request, response)),
    );
    return peer;
  }

  /** Puts all events of a room in, without checks of signatures. */
  async take(room: SignedRoom): Promise<void> {
    await this.rooms.core.input(roomIdOf(room.roomId), room.events, 'live');
  }

  /** Sends events as a transaction; resolves with the answer. */
  send(
    origin: string,
    pdus: readonly (RoomEvent | string)[],
    edus: readonly unknown[] = [],
    txnId?: string,
  ): Promise<TestResponse> {
    this.#transactions += 1;
    const texts = pdus.map((pdu) => (typeof pdu === 'string' ? pdu : JSON.stringify(pdu.pdu)));
    const body = `{"origin":"${origin}","origin_server_ts":1,"pdus":[${texts.join(',')}],"edus":${JSON.stringify(edus)}}`;
    return this.put(origin, txnId ?? String(this.#transactions), body);
  }

  put(origin: string, txnId: string, body: string): Promise<TestResponse> {
    return this.server.client.request(`/_matrix/federation/v1/send/${txnId}`, {
      method: 'PUT',
      headers: { Authorization: `Test ${origin}` },
      body,
    });
  }

  /** Ids of the room's timeline, oldest first. */
  timeline(room: SignedRoom): string[] {
    return this.rooms.read((snapshot) => {
      const { nid } = this.rooms.core.room(snapshot, room.roomId) ?? { nid: 0 as never };
      return this.rooms.core
        .timelineForward(snapshot, nid, 0 as never, Number.MAX_SAFE_INTEGER as never, 1000)
        .map(({ eventId }) => eventId);
    });
  }

  /** Current state as `type|key` → event id. */
  state(room: SignedRoom): Record<string, string> {
    return this.rooms.read((snapshot) => {
      const { nid } = this.rooms.core.room(snapshot, room.roomId) ?? { nid: 0 as never };
      const entries = this.rooms.core
        .currentState(snapshot, nid)
        .map(
          ({ type, stateKey, event }) =>
            [`${type}|${stateKey}`, this.rooms.core.event(snapshot, event)?.eventId ?? ''] as const,
        );
      return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
    });
  }

  /** A stored event's verdict in a word. */
  verdict(eventId: string): string {
    return this.rooms.read((snapshot) => {
      const event = this.rooms.core.eventById(snapshot, eventId);
      if (event === undefined) return 'unknown';
      if (event.outlier) return event.rejected ? 'rejected outlier' : 'outlier';
      return event.rejected ? 'rejected' : event.softFailed ? 'soft-failed' : 'accepted';
    });
  }

  staged(): number {
    return this.federation.measures.find(({ name }) => name.endsWith('staged_events'))?.read() as number;
  }

  verify(): string[] {
    return [...verifyRoomserver(this.rooms.db, us as ServerName)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await this.federation[Symbol.asyncDispose]();
    this.remote[Symbol.dispose]();
    await this.remote.partial[Symbol.asyncDispose]();
    await this.fed[Symbol.asyncDispose]();
    await this.rooms[Symbol.asyncDispose]();
  }
}

export async function startIntake(options: IntakeOptions = {}): Promise<IntakeWorld> {
  const network = options.network ?? new TestNetwork();
  const rooms = openTestRooms(us, options.killed);
  const { db, core } = rooms;
  const serverName = us as ServerName;
  const clock = options.clock ?? systemClock;
  const log = createLogger({ level: (process.env['NEURITE_TEST_LOG'] ?? 'silent') as 'silent', format: 'text' });
  const fed = await startFed(network, { db, serverName });
  const remote = createRemoteRooms({ federation: fed.fed, db, rooms: core, serverName, clock, log });
  const { edus = { handle: async (): Promise<void> => undefined }, outOfBand } = options;
  const federation = createFederation({ db, rooms: core, remote, serverName, edus, outOfBand, clock, log });
  const server = await startTestServer(federation.routes, { servers: trusting, db });
  federation.start();
  return new IntakeWorld({ network, rooms, fed, remote, federation, server });
}

/** Resolves when something has come to be; fails after half a minute. */
export async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('it did not come to be');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
