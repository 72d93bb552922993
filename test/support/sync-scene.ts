/** A server with /sync and a room of alice's that bob is in, for each test of a file. */
import { afterEach, beforeEach } from '@jest/globals';
import type { Room } from '../../src/roomserver/index.ts';
import { user } from './room-core.ts';
import { openTestSync, type TestSync } from './sync.ts';

export const alice = user('@alice:one.example');
export const bob = user('@bob:one.example');
export const carol = user('@carol:one.example');

export interface SyncScene {
  server: TestSync;
  room: Room;
}

/**
 * The scene is a new one in each test.
 * @param ending what is looked at when a test has run
 */
export function useSharedRoom(ending: (scene: SyncScene) => void = () => undefined): SyncScene {
  const scene = {} as SyncScene;
  beforeEach(async () => {
    scene.server = openTestSync();
    scene.room = await scene.server.rooms.openRoom(alice);
    await scene.server.rooms.join(scene.room, bob);
  });
  afterEach(async () => {
    ending(scene);
    await scene.server[Symbol.asyncDispose]();
  });
  return scene;
}
