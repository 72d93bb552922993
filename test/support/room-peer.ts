/** A peer that keeps rooms of real events and answers questions about them as the specification says, unless a test has it say otherwise. */
import type { ServerResponse } from 'node:http';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type KeyedPeer, type PeerRequest, sendJson } from './federation.ts';
import { keyOf, type SignedRoom } from './room-builder.ts';

/** An answer of a test's own; undefined: the honest one. */
export type Script = (request: PeerRequest, url: URL, response: ServerResponse) => unknown;

interface MissingWish {
  readonly earliest_events: readonly string[];
  readonly latest_events: readonly string[];
  readonly limit: number;
}

export class RoomPeer implements AsyncDisposable {
  readonly peer: KeyedPeer;
  readonly rooms = new Map<string, SignedRoom>();
  /** By the first segment below `/_matrix/federation/v1`. */
  readonly scripts = new Map<string, Script>();
  /** Events that it does not give away, wherever they are asked for. */
  readonly hidden = new Set<string>();

  constructor(peer: KeyedPeer) {
    this.peer = peer;
    peer.keys.signing = { keyId: 'ed25519:test', key: keyOf(peer.name) };
  }

  get name(): ServerName {
    return this.peer.name;
  }

  user(localpart: string): string {
    return `@${localpart}:${this.name}`;
  }

  /** How often an endpoint was asked. */
  asked(endpoint: string): number {
    return this.peer.requests.filter(({ url }) => url.startsWith(`/_matrix/federation/v1/${endpoint}`)).length;
  }

  async answer(request: PeerRequest, response: ServerResponse): Promise<void> {
    const url = new URL(request.url, 'https://peer');
    const [endpoint = '', first = '', second = ''] = url.pathname
      .replace(/^\/_matrix\/(federation|policy)\/v1\//, '')
      .split('/')
      .map(decodeURIComponent);
    const scripted = await this.scripts.get(endpoint)?.(request, url, response);
    if (response.writableEnded || response.destroyed || scripted === hang) return;
    const body = scripted ?? this.#honest(endpoint, first, second, url, request.body);
    if (body === undefined) sendJson(response, { errcode: 'M_NOT_FOUND', error: 'no' }, 404);
    else sendJson(response, body);
  }

  #honest(endpoint: string, first: string, second: string, url: URL, body: string): unknown {
    const around = { origin: this.name, origin_server_ts: 0 };
    const eventId = url.searchParams.get('event_id') ?? '';
    const room = this.rooms.get(first);
    if (endpoint === 'event') {
      const found = this.#find(first);
      return found && { ...around, pdus: [found.pdu] };
    }
    if (room === undefined) return undefined;
    if (endpoint === 'event_auth') return { auth_chain: this.#pdus(chainOf(room, second)) };
    if (endpoint === 'state_ids' || endpoint === 'state') {
      const event = this.#find(eventId);
      if (event === undefined) return undefined;
      const state = idsOf(room, room.stateBehind(event.prevEvents));
      const chain = [...new Set(state.flatMap((id) => chainOf(room, id)))];
      return endpoint === 'state_ids'
        ? { pdu_ids: state, auth_chain_ids: chain }
        : { pdus: this.#pdus(state), auth_chain: this.#pdus(chain) };
    }
    if (endpoint === 'get_missing_events') {
      const { earliest_events: earliest, latest_events: latest, limit } = JSON.parse(body) as MissingWish;
      const found = this.#backwards(room, latest, new Set(earliest), limit, false);
      return { events: found.toReversed().map(({ pdu }) => pdu) };
    }
    if (endpoint === 'backfill') {
      const limit = Number(url.searchParams.get('limit'));
      const found = this.#backwards(room, url.searchParams.getAll('v'), new Set(), limit, true);
      return { ...around, pdus: found.map(({ pdu }) => pdu) };
    }
    return undefined;
  }

  /** Breadth first, newest first. */
  #backwards(
    room: SignedRoom,
    from: readonly string[],
    stop: ReadonlySet<string>,
    limit: number,
    own: boolean,
  ): RoomEvent[] {
    const found: RoomEvent[] = [];
    const seen = new Set<string>(stop);
    const queue = own ? [...from] : from.flatMap((id) => room.event(room.nid(id))?.prevEvents ?? []);
    for (let id = queue.shift(); id !== undefined && found.length < limit; id = queue.shift()) {
      const event = seen.has(id) ? undefined : this.#find(id);
      seen.add(id);
      if (event === undefined) continue;
      found.push(event);
      queue.push(...event.prevEvents);
    }
    return found;
  }

  #find(eventId: string): RoomEvent | undefined {
    if (this.hidden.has(eventId)) return undefined;
    for (const room of this.rooms.values()) {
      const found = room.events.find((event) => event.eventId === eventId);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #pdus(ids: readonly string[]): unknown[] {
    return ids.flatMap((id) => this.#find(id)?.pdu ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.peer[Symbol.asyncDispose]();
  }
}

/** What a script returns that answers later or never. */
export const hang = Symbol('hang');

const idsOf = (room: SignedRoom, state: ReturnType<SignedRoom['currentState']>): string[] =>
  Object.values(room.ids(state));

function chainOf(room: SignedRoom, eventId: string): string[] {
  const chain = new Set<string>();
  const stack = [...(room.event(room.nid(eventId))?.authEvents ?? [])] as string[];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    if (chain.has(id)) continue;
    chain.add(id);
    stack.push(...(room.event(room.nid(id))?.authEvents ?? []));
  }
  return [...chain];
}
