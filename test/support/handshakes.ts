/** How a scripted server asks to be let into rooms of ours: make_… and send_… (S-S API v1.19 §Joining Rooms and after). */
import { finishEvent } from '../../src/matrix/event-builder.ts';
import type { EventId } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Pdu } from '../../src/matrix/pdu.ts';
import type { Answer } from './client.ts';
import { useVisited, type Visited } from './neighbours.ts';
import { keyOf } from './room-builder.ts';
import { rulesOf } from './room-dag.ts';

export const v1 = '/_matrix/federation/v1';
export const v2 = '/_matrix/federation/v2';
const enc = encodeURIComponent;
const allVersions = Array.from({ length: 12 }, (_, index) => `ver=${index + 1}`).join('&');

export interface Finished {
  readonly eventId: EventId;
  readonly pdu: Pdu;
}

export interface Handshakes extends Visited {
  /** A user of the scripted server who is in no room yet. */
  readonly visitor: () => string;
  /** A public room of alice's, of version 10 unless told otherwise. */
  readonly openRoom: (more?: object) => Promise<string>;
  readonly make: (kind: string, roomId: string, user: string, query?: string) => Promise<Answer>;
  /** The template of an answer as an event that the scripted server has signed. */
  readonly finish: (answer: Answer, changes?: JsonObject) => Finished;
  readonly send: (kind: string, roomId: string, event: Finished, prefix?: string, query?: string) => Promise<Answer>;
  /** Both steps of a join; resolves with the answer to the second. */
  readonly joined: (roomId: string, user: string) => Promise<Answer>;
}

/** A server of ours and a scripted one that asks to be let in. */
export function useHandshakes(): Handshakes {
  const visited = useVisited();
  const { home, alice, peer } = visited;
  let visitors = 0;
  const make: Handshakes['make'] = (kind, roomId, user, query = allVersions) =>
    peer().ask(home(), 'GET', `${v1}/make_${kind}/${enc(roomId)}/${enc(user)}?${query}`);
  const finish: Handshakes['finish'] = ({ body }, changes = {}) => {
    const rules = rulesOf(String(body.room_version));
    const signer = { serverName: peer().name, keyId: 'ed25519:test', key: keyOf(peer().name) };
    return finishEvent({ ...(body.event as Pdu), ...changes, origin_server_ts: Date.now() }, rules, signer);
  };
  const send: Handshakes['send'] = (kind, roomId, { eventId, pdu }, prefix = v2, query = '') =>
    peer().ask(home(), 'PUT', `${prefix}/send_${kind}/${enc(roomId)}/${enc(eventId)}${query}`, pdu);
  return {
    ...visited,
    visitor: () => peer().user(`visitor${visitors++}`),
    openRoom: (more = {}) => alice().createRoom({ preset: 'public_chat', room_version: '10', ...more }),
    make,
    finish,
    send,
    joined: async (roomId, user) => send('join', roomId, finish(await make('join', roomId, user))),
  };
}

export const told = ({ status, body }: Answer): unknown[] => [status, body.errcode];
