/** Device lists of remote users: their scripted server, alice who asks, and a new remote user and room for each test. */
import { afterAll, beforeAll, beforeEach } from '@jest/globals';
import { startRemoteWorld, type RemoteWorld } from './remote-users.ts';
import { openRoom, register, sync, v3, type TestSession } from './userapi.ts';

export class DeviceListScene {
  world!: RemoteWorld;
  alice!: TestSession;
  /** Each test has a remote user of its own. */
  user!: string;
  room!: string;

  keysOf(deviceId: string, key = 'A', owner = this.user) {
    return {
      user_id: owner,
      device_id: deviceId,
      algorithms: ['m.olm.v1.curve25519-aes-sha2'],
      keys: { [`ed25519:${deviceId}`]: key },
      signatures: { [owner]: { [`ed25519:${deviceId}`]: 'own' } },
    };
  }

  devicesPath(of = this.user): string {
    return `/_matrix/federation/v1/user/devices/${of}`;
  }

  /** The remote server's list of the user's devices from now on. */
  answerDevices(streamId: number, devices: Record<string, object>, more: object = {}, of = this.user): void {
    this.world.answers.set(`GET ${this.devicesPath(of)}`, () => ({
      user_id: of,
      stream_id: streamId,
      devices: Object.entries(devices).map(([device_id, keys]) => ({ device_id, keys })) as never,
      ...more,
    }));
  }

  async query(users: Record<string, string[]> = { [this.user]: [] }, more: object = {}) {
    const body = { device_keys: users, ...more };
    return (await this.world.server.client.post(`${v3}/keys/query`, body, this.alice.token)).json;
  }

  update(content: object): Promise<void> {
    return this.world.edu('m.device_list_update', { user_id: this.user, ...content });
  }

  /** Resolves when no list is being fetched. */
  async settled(): Promise<void> {
    const { fetcher } = this.world.server.modules.remoteUsers;
    for (let idle = 0; idle < 5; idle = fetcher.running === 0 ? idle + 1 : 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** What alice's next sync says of device lists. */
  async changedSince(since: string) {
    await this.#told();
    return (await sync(this.world.server.client, this.alice, since)).device_lists ?? {};
  }

  /** Alice's token of now. */
  async now(): Promise<string> {
    await this.#told();
    return (await sync(this.world.server.client, this.alice)).next_batch;
  }

  /** Lists that were fetched are told to clients after a moment. */
  async #told(): Promise<void> {
    await this.settled();
    this.world.server.clock.advance(250);
    await this.settled();
    await this.world.server.db.flushed();
  }
}

/** One server for the tests of a file. */
export function useDeviceLists(): DeviceListScene {
  const scene = new DeviceListScene();
  let made = 0;
  beforeAll(async () => {
    scene.world = await startRemoteWorld();
    scene.alice = await register(scene.world.server.client, 'alice');
  });
  afterAll(async () => scene.world[Symbol.asyncDispose]());
  beforeEach(async () => {
    made += 1;
    scene.user = scene.world.remote(`user${made}`);
    scene.room = await openRoom(scene.world.server.client, scene.alice);
  });
  return scene;
}
