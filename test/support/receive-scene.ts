/** Rooms that take in events of rooms that were made elsewhere, for each test of a file. */
import { afterEach, beforeEach } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type InputKind, type InputOptions, verifyRoomserver } from '../../src/roomserver/index.ts';
import { asPosition } from '../../src/storage/index.ts';
import type { SignedRoom } from './room-builder.ts';
import { type TestRooms, openTestRooms, roomIdOf } from './room-core.ts';

export const alice = '@alice:one.example';
export const bob = '@bob:two.example';
export const carol = '@carol:three.example';
const start = asPosition(0);
export const end = asPosition(Number.MAX_SAFE_INTEGER);

type Verdicts = ReturnType<TestRooms['core']['input']>;

export class ReceiveScene {
  rooms!: TestRooms;

  receive(room: SignedRoom, events: readonly RoomEvent[], kind: InputKind = 'live', options?: InputOptions): Verdicts {
    return this.rooms.core.input(roomIdOf(room.roomId), events, kind, options);
  }

  verify(): string[] {
    return [...verifyRoomserver(this.rooms.db, 'one.example' as ServerName)];
  }

  /** Current state as `type|key` → event id. */
  current(room: SignedRoom): Record<string, string> {
    const { core } = this.rooms;
    return this.rooms.read((snapshot) => {
      const { nid } = core.room(snapshot, room.roomId) ?? { nid: 0 as never };
      const entries = core
        .currentState(snapshot, nid)
        .map(
          ({ type, stateKey, event }) => [`${type}|${stateKey}`, core.event(snapshot, event)?.eventId ?? ''] as const,
        );
      return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
    });
  }

  /** Ids of the events in the room's timeline. */
  timeline(room: SignedRoom): string[] {
    const { core } = this.rooms;
    return this.rooms.read((snapshot) => {
      const { nid } = core.room(snapshot, room.roomId) ?? { nid: 0 as never };
      return core.timelineForward(snapshot, nid, start, end, 1000).map(({ eventId }) => eventId);
    });
  }
}

/** The scene is a new one in each test. */
export function useReceivedRooms(): ReceiveScene {
  const scene = new ReceiveScene();
  beforeEach(() => {
    scene.rooms = openTestRooms();
  });
  afterEach(async () => scene.rooms[Symbol.asyncDispose]());
  return scene;
}

export const kinds = async (verdicts: Verdicts): Promise<string[]> =>
  [...(await verdicts).values()].map(({ kind }) => kind);
