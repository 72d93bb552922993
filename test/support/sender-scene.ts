/** Two servers that take what ours sends, for each test of a file. */
import { afterEach, beforeEach } from '@jest/globals';
import type { UserId } from '../../src/matrix/ids.ts';
import type { FakeClock } from './fake-clock.ts';
import { TestNetwork } from './federation.ts';
import { startReceiver, startSender, type Receiver, type TestSender } from './sender.ts';

export class SenderScene {
  network!: TestNetwork;
  one!: Receiver;
  two!: Receiver;
  stack!: AsyncDisposableStack;

  /** A user of the first server. */
  get bob(): UserId {
    return `@bob:${this.one.name}` as UserId;
  }

  /** A user of the second. */
  get carol(): UserId {
    return `@carol:${this.two.name}` as UserId;
  }

  /** Starts a server of ours, which goes with the scene. */
  async start(options: Parameters<typeof startSender>[1] = {}): Promise<TestSender> {
    return this.stack.use(await startSender(this.network, options));
  }
}

/** The scene is a new one in each test. */
export function useReceivers(): SenderScene {
  const scene = new SenderScene();
  beforeEach(async () => {
    scene.stack = new AsyncDisposableStack();
    scene.network = new TestNetwork();
    scene.one = scene.stack.use(await startReceiver(scene.network, 'one.test'));
    scene.two = scene.stack.use(await startReceiver(scene.network, 'two.test'));
  });
  afterEach(() => scene.stack.disposeAsync());
  return scene;
}

export const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

/** The server answers again and says so. */
export async function recovered(server: TestSender, peer: Receiver): Promise<void> {
  const pausing = (): unknown =>
    server.sender.measures.find(({ name }) => name === 'neurite_federation_destinations_pausing')?.read();
  while (pausing() === 0) await turn();
  peer.statuses = [200];
  server.fed.destinations.contacted(peer.name);
  await peer.until(() => peer.sent.at(-1)?.taken === true);
}
export async function tick(server: TestSender, isThere: () => boolean): Promise<void> {
  while (!isThere()) {
    (server.clock as FakeClock).advance(10);
    await turn();
  }
}
