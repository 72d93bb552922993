/** A server of ours, a peer with a room that ours is in, and what the peer sends, for each test of a file. */
import { afterEach, beforeEach } from '@jest/globals';
import { buildEvent } from '../../src/matrix/event-builder.ts';
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type IntakeWorld, startIntake } from './intake.ts';
import { type RoomPeer } from './room-peer.ts';
import { keyOf, type SignedRoom } from './room-builder.ts';

export class IntakeScene {
  world!: IntakeWorld;
  peer!: RoomPeer;
  room!: SignedRoom;
  /** A user of the peer who is in the room. */
  pat!: string;

  /** So many new messages of pat, each on the one before; nothing is sent. */
  say(count: number): RoomEvent[] {
    return Array.from({ length: count }, (_, n) => this.room.message(this.pat, String(n)));
  }

  /** What the server answers to a transaction with these events. */
  async results(
    events: readonly RoomEvent[],
    origin: string = this.peer.name,
  ): Promise<Record<string, { error?: string }>> {
    return (await this.world.send(origin, events)).json.pdus;
  }

  /** Auth events of a message of somebody, from the room's current state. */
  authOf(user: string = this.pat): string[] {
    const state = this.room.ids(this.room.currentState());
    return [state['m.room.power_levels|'], state[`m.room.member|${user}`]].filter((id) => id !== undefined);
  }

  /** A signed event on prev and auth events of the test's own; the room's server does not have it. */
  fork(
    sender: string,
    type: string,
    content: JsonObject,
    prevEvents: readonly string[],
    authEvents: readonly string[],
    stateKey?: string,
  ): RoomEvent {
    const serverName = sender.slice(sender.indexOf(':') + 1) as ServerName;
    return buildEvent({
      rules: this.room.rules,
      serverName,
      keyId: 'ed25519:test',
      key: keyOf(serverName),
      proto: { type, sender, content, room_id: this.room.roomId, state_key: stateKey },
      prevEvents: prevEvents as EventId[],
      authEvents: authEvents as EventId[],
      depth: 50,
      originServerTs: 1_700_000_001_000,
    });
  }

  isBehindGap(eventId: string): boolean {
    const { core } = this.world.rooms;
    return this.world.rooms.read((snapshot) => {
      const event = core.eventById(snapshot, eventId);
      return event !== undefined && core.isBehindGap(snapshot, event);
    });
  }
}

/** The scene is a new one in each test. */
export function useIntake(): IntakeScene {
  const scene = new IntakeScene();
  beforeEach(async () => {
    scene.world = await startIntake();
    Object.assign(scene, await scene.world.peerWithRoom());
  });
  afterEach(async () => {
    await scene.peer[Symbol.asyncDispose]();
    await scene.world[Symbol.asyncDispose]();
  });
  return scene;
}
