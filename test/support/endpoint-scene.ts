/** Our federation client and a peer that answers as each test of a file wants. */
import { afterAll, beforeAll, beforeEach } from '@jest/globals';
import type { FedClient } from '../../src/fedclient/index.ts';
import { sendJson, startFed, startKeyedPeer, TestNetwork } from './federation.ts';
import type { KeyedPeer, PeerHandler, TestFed } from './federation.ts';

export class EndpointScene {
  peer!: KeyedPeer;
  us!: TestFed;
  /** How the peer answers. */
  answer!: PeerHandler;

  get api(): FedClient['api'] {
    return this.us.fed.api;
  }

  /** The peer answers 200 with this body from now on; text is sent as it is. */
  replying(body: unknown): void {
    this.answer = (_, response) => (typeof body === 'string' ? void response.end(body) : sendJson(response, body));
  }
}

/** One peer for the tests of a file; what it was asked is forgotten before each. */
export function useEndpoints(network = new TestNetwork()): EndpointScene {
  const scene = new EndpointScene();
  beforeAll(async () => {
    scene.peer = await startKeyedPeer(network, 'peer.test', (request, response) => scene.answer(request, response));
    scene.us = await startFed(network);
  });
  afterAll(async () => {
    await scene.us[Symbol.asyncDispose]();
    await scene.peer[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    scene.peer.requests.length = 0;
  });
  return scene;
}
