/** Users who come into rooms and go, on one server for the tests of a file. */
import { afterAll, beforeAll, beforeEach } from '@jest/globals';
import { roomPath, startRoomServer, type Actor, type RoomServer } from './rooms.ts';

export class Members {
  server!: RoomServer;

  get alice(): Actor {
    return this.server.alice;
  }

  get bob(): Actor {
    return this.server.bob;
  }

  get carol(): Actor {
    return this.server.carol;
  }

  /** As alice reads it. */
  async membership(roomId: string, user: Actor): Promise<unknown> {
    return (await this.alice.state(roomId, 'm.room.member', user.userId)).json.membership;
  }
}

/** Status and error code of `join`, `leave` and the like. */
export async function outcome(actor: Actor, roomId: string, action: string, body?: unknown): Promise<unknown[]> {
  const { status, json } = await actor.post(`${roomPath(roomId)}/${action}`, body);
  return [status, json.errcode];
}

export const target = (user: Actor, reason?: string) => ({ user_id: user.userId, reason });

/** Profiles are forgotten before each test. */
export function useMembers(): Members {
  const scene = new Members();
  beforeAll(async () => {
    scene.server = await startRoomServer();
  });
  beforeEach(() => scene.server.accounts.profiles.clear());
  afterAll(async () => scene.server[Symbol.asyncDispose]());
  return scene;
}
