/**
 * One whole server with a clock of the test's own and a scripted server beside it, whose users come into rooms by events
 * that it has signed, and whose EDUs are handed in as `/send` hands them.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildEvent } from '../../src/matrix/event-builder.ts';
import type { RoomId, ServerName, UserId } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { sendJson, startPeer, TestNetwork, testSigningKey, type Peer, type PeerRequest } from './federation.ts';
import { queryProfileRoutes, userKeyRoutes } from '../../src/federation/index.ts';
import { startTestServer, testConfig, type TestResponse } from './http.ts';
import { trusting } from './serving.ts';
import { startUserServer, type UserServer } from './userapi.ts';

export interface RemoteWorld extends AsyncDisposable {
  readonly server: UserServer;
  readonly peer: Peer;
  /** `localhost:PORT` of the scripted server. */
  readonly peerName: ServerName;
  remote(localpart: string): UserId;
  /** The scripted server's user changes his membership in a room. */
  member(roomId: string, user: UserId, membership: 'join' | 'leave', more?: JsonObject): Promise<void>;
  /** Hands in EDUs of the scripted server. */
  edu(type: string, content: unknown): Promise<void>;
  /** What the scripted server answers, by method and path; 404 for all else. */
  readonly answers: Map<string, (request: PeerRequest) => JsonObject | number | Promise<JsonObject | number>>;
  /** The scripted server asks ours about its users. */
  ask(path: string, body?: unknown): Promise<TestResponse>;
  /** Requests of a path so far. */
  asked(path: string): PeerRequest[];
}

export async function startRemoteWorld(options: { readonly folder?: string } = {}): Promise<RemoteWorld> {
  const network = new TestNetwork();
  const answers: RemoteWorld['answers'] = new Map();
  const peer = await startPeer(network, ['localhost'], async (request, response) => {
    const path = decodeURIComponent(request.url.split('?')[0] ?? '');
    const answer = await answers.get(`${request.method} ${path}`)?.(request);
    if (typeof answer === 'object') sendJson(response, answer);
    else sendJson(response, { errcode: 'M_NOT_FOUND', error: 'no' }, answer ?? 404);
  });
  const caFile = join(tmpdir(), `neurite-ca-${randomBytes(6).toString('hex')}.pem`);
  writeFileSync(caFile, network.ca.cert);
  const federation = { ...testConfig().federation, allowNetworks: ['127.0.0.0/8', '::1'], caFile };
  const server = await startUserServer({ federation }, options);
  rmSync(caFile);
  const peerName = `localhost:${peer.port}` as ServerName;
  const signing = testSigningKey('peer');
  const { modules, clock, db, users } = server;
  const routes = [...queryProfileRoutes({ db, ...users }), ...userKeyRoutes({ db, sender: modules.sender, ...users })];
  const asked = await startTestServer(routes, { servers: trusting, db, clock });

  const member: RemoteWorld['member'] = async (roomId, user, membership, more = {}) => {
    const { rooms, db } = modules;
    const event = db.read((snapshot) => {
      const room = rooms.room(snapshot, roomId);
      if (room === undefined) throw new Error('no such room');
      const prev = rooms.forwardExtremities(snapshot, room.nid);
      const state = (type: string, key: string) => rooms.currentEvent(snapshot, room.nid, type, key)?.eventId ?? [];
      return buildEvent({
        rules: room.rules,
        serverName: peerName,
        keyId: signing.keyId,
        key: signing.key,
        proto: {
          type: 'm.room.member',
          state_key: user,
          sender: user,
          content: { membership, ...more },
          room_id: roomId,
        },
        prevEvents: prev.map(({ eventId }) => eventId),
        authEvents: [
          ...(room.rules.roomIdIsCreateHash ? [] : [state('m.room.create', '')]),
          state('m.room.power_levels', ''),
          membership === 'join' ? state('m.room.join_rules', '') : [],
          state('m.room.member', user),
        ].flat(),
        depth: Math.max(...prev.map(({ depth }) => depth)) + 1,
        originServerTs: clock.now(),
      });
    });
    const verdicts = await rooms.input(roomId as RoomId, [event], 'live');
    const verdict = verdicts.get(event.eventId);
    if (verdict?.kind !== 'accepted') throw new Error(`not accepted: ${JSON.stringify(verdict)}`);
  };
  return {
    server,
    peer,
    peerName,
    remote: (localpart) => `@${localpart}:${peerName}` as UserId,
    member,
    edu: (type, content) => modules.edus.handle(peerName, [{ type, content }]),
    answers,
    ask: (path, body) =>
      asked.client.request(`/_matrix/federation/v1${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { Authorization: `Test ${peerName}` },
        ...(body === undefined ? {} : { body }),
      }),
    asked: (path) => peer.requests.filter(({ url }) => decodeURIComponent(url.split('?')[0] ?? '') === path),
    async [Symbol.asyncDispose]() {
      await asked.stop();
      await server[Symbol.asyncDispose]();
      await peer[Symbol.asyncDispose]();
    },
  };
}
