/**
 * A scripted server that is in rooms and lets others join them without members (MSC3902): it keeps its answers to
 * `/state_ids` and `/state` back until a test releases them, and notes whatever it is sent.
 */
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import { finishEvent } from '../../src/matrix/event-builder.ts';
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts';
import { type Pdu, type RoomEvent, toRoomEvent } from '../../src/matrix/pdu.ts';
import type { Answer } from './client.ts';
import { type PeerRequest, sendJson, startKeyedPeer, TestNetwork } from './federation.ts';
import { hang, RoomPeer, type Script } from './room-peer.ts';
import { keyOf, SignedRoom } from './room-builder.ts';
import { rulesOf } from './room-dag.ts';
import { ScriptedServer } from './scripted-server.ts';
import type { FederatedServer } from './servers.ts';
import type { TestCa } from './tls.ts';
import { ResidentRoom, joinTemplate, eventOf, withAuth } from './resident-room.ts';

export interface Edu {
  readonly edu_type: string;
  readonly content: JsonObject;
}

/** A whole server, here or in a process of its own. */
type Named = Pick<FederatedServer, 'name' | 'baseUrl'>;

export class PartialResident implements AsyncDisposable {
  readonly peer: RoomPeer;
  readonly rooms: Map<string, ResidentRoom>;
  /** What came in transactions, in order. */
  readonly pdus: RoomEvent[] = [];
  readonly edus: Edu[] = [];
  readonly #asking: ScriptedServer;
  #transactions = 0;

  constructor(peer: RoomPeer, rooms: Map<string, ResidentRoom>) {
    this.peer = peer;
    this.rooms = rooms;
    this.#asking = new ScriptedServer(peer.peer);
    const refusing =
      (work: (request: PeerRequest, url: URL) => JsonObject | undefined): Script =>
      (request, url, response) => {
        const body = work(request, url);
        if (body === undefined) sendJson(response, { errcode: 'M_FORBIDDEN', error: 'You are kept out' }, 403);
        return body;
      };
    peer.scripts.set(
      'make_join',
      refusing((_request, url) => this.#template(url)),
    );
    peer.scripts.set(
      'send_join',
      refusing((request, url) => this.#letIn(request, url)),
    );
    peer.scripts.set('send', (request) => this.#take(request));
    peer.scripts.set('state_ids', (request, url, response) => this.#tellState(request, url, response));
    peer.scripts.set('state', (request, url, response) => this.#tellState(request, url, response));
    peer.scripts.set('user', (_request, url) => this.#devices(url));
  }

  /** `beside`: another resident, whose rooms this one is in too. */
  static async start(ca: TestCa, beside?: PartialResident): Promise<PartialResident> {
    const network = Object.assign(new TestNetwork(), { ca });
    const peer: RoomPeer = new RoomPeer(
      await startKeyedPeer(network, 'localhost', (request, response) =>
        peer.answer({ ...request, url: request.url.replace('/v2/', '/v1/') }, response),
      ),
    );
    // What one of them knows, the other one does too.
    if (beside !== undefined) Object.assign(peer, { rooms: beside.peer.rooms });
    return new PartialResident(peer, beside?.rooms ?? new Map());
  }

  get name(): ServerName {
    return this.peer.name;
  }

  user(localpart: string): string {
    return this.peer.user(localpart);
  }

  /** A public room of a creator of its own with derek in it; `levels` are power levels of users. */
  openRoom(levels: Record<string, number> = {}, version = '12'): ResidentRoom {
    const charlie = this.user(`charlie${this.rooms.size}`);
    const room = SignedRoom.open(version, charlie);
    room.join(this.user('derek'));
    const named = Object.fromEntries(Object.entries(levels).map(([name, level]) => [this.user(name), level]));
    if (Object.keys(levels).length > 0) {
      const users = { ...(room.rules.privilegedCreators ? {} : { [charlie]: 100 }), ...named };
      room.say({ type: 'm.room.power_levels', stateKey: '', sender: charlie, content: { users } });
    }
    return this.keep(room);
  }

  /** Is in a room from now on. */
  keep(room: SignedRoom): ResidentRoom {
    const kept = this.rooms.get(room.roomId) ?? new ResidentRoom(room);
    this.rooms.set(room.roomId, kept);
    this.peer.rooms.set(room.roomId, room);
    return kept;
  }

  /** Sends a transaction. @throws unless it was taken */
  async send(server: Named, pdus: readonly RoomEvent[], edus: readonly Edu[] = []): Promise<Answer> {
    this.#transactions += 1;
    const body = { origin: this.name, origin_server_ts: 1, pdus: pdus.map(({ pdu }) => pdu), edus };
    const uri = `/_matrix/federation/v1/send/t${this.#transactions}`;
    const answer = await this.ask(server, 'PUT', uri, body as unknown as JsonValue);
    if (answer.status !== 200) throw new Error(`a transaction was refused: ${JSON.stringify(answer)}`);
    return answer;
  }

  ask(server: Named, method: string, uri: string, body?: JsonValue): Promise<Answer> {
    return this.#asking.ask(server, method, uri, body);
  }

  /** A user of this server joins a room of the whole one. */
  async enter(server: Named, roomId: string, user: string): Promise<RoomEvent> {
    const of = (id: string): string => `${encodeURIComponent(roomId)}/${encodeURIComponent(id)}`;
    const made = await this.ask(server, 'GET', `/_matrix/federation/v1/make_join/${of(user)}?ver=12`);
    const signer = { serverName: this.name, keyId: 'ed25519:test', key: keyOf(this.name) };
    const event = finishEvent(made.body.event as Pdu, rulesOf(String(made.body.room_version)), signer);
    const sent = await this.ask(server, 'PUT', `/_matrix/federation/v2/send_join/${of(event.eventId)}`, event.pdu);
    if (sent.status !== 200) throw new Error(`the join was refused: ${JSON.stringify(sent)}`);
    return event;
  }

  /** How often this server was asked for a user's devices or keys. */
  keysAsked(user: string): number {
    return this.peer.peer.requests.filter(
      ({ url, body }) =>
        decodeURIComponent(url).startsWith(`/_matrix/federation/v1/user/devices/${user}`) ||
        (url.startsWith('/_matrix/federation/v1/user/keys/query') && body.includes(user)),
    ).length;
  }

  #roomOf(url: URL): ResidentRoom | undefined {
    return this.rooms.get(decodeURIComponent(url.pathname.split('/')[5] ?? ''));
  }

  #template(url: URL): JsonObject | undefined {
    const found = this.#roomOf(url);
    const user = decodeURIComponent(url.pathname.split('/')[6] ?? '');
    if (found === undefined) return undefined;
    return { room_version: found.room.rules.version, event: joinTemplate(found.room, user) };
  }

  #letIn(request: PeerRequest, url: URL): JsonObject | undefined {
    const found = this.#roomOf(url);
    if (found === undefined) return undefined;
    const { room } = found;
    const join = toRoomEvent(JSON.parse(request.body) as Pdu, room.rules);
    if (!room.isAllowed(join)) return undefined;
    const before = room.stateBehind(join.prevEvents);
    const ids = Object.values(room.ids(before)) as EventId[];
    const servers = found.servers ?? [
      ...new Set(
        [...(before.get('m.room.member') ?? [])]
          .filter(([, nid]) => room.event(nid)?.content.membership === 'join')
          .map(([user]) => user.slice(user.indexOf(':') + 1)),
      ),
    ];
    room.receive(join);
    const omits = found.omits && url.searchParams.get('omit_members') === 'true';
    const isTold = ({ type, stateKey = '' }: RoomEvent): boolean =>
      !omits || type !== 'm.room.member' || found.heroes.includes(stateKey);
    const told = ids.filter((id) => isTold(eventOf(room, id)));
    const chain = withAuth(room, [...told, join.eventId]).filter((id) => id !== join.eventId);
    return {
      ...{ event: join.pdu, state: told.map((id) => eventOf(room, id).pdu) },
      auth_chain: chain.map((id) => eventOf(room, id).pdu),
      ...(omits ? { members_omitted: true, servers_in_room: [...servers] } : { members_omitted: false }),
    };
  }

  #take(request: PeerRequest): JsonObject {
    const { pdus = [], edus = [] } = JSON.parse(request.body) as { pdus?: Pdu[]; edus?: Edu[] };
    for (const pdu of pdus) {
      const room = this.rooms.get(String(pdu.room_id))?.room;
      if (room === undefined) continue;
      const event = toRoomEvent(pdu, room.rules);
      this.pdus.push(event);
      const knows = (id: string): boolean => room.events.some(({ eventId }) => eventId === id);
      if (!knows(event.eventId) && [...event.prevEvents, ...event.authEvents].every(knows)) room.receive(event);
    }
    this.edus.push(...edus);
    return { pdus: {} };
  }

  readonly #tellState: Script = async (_request, url, response) => {
    const found = this.#roomOf(url);
    if (found === undefined) return undefined;
    await found.beforeState(url.searchParams.get('event_id') ?? '');
    const [, , , , endpoint = ''] = url.pathname.split('/');
    if (response.destroyed) return hang;
    const eventId = url.searchParams.get('event_id') ?? '';
    return found.tell({ server: this.name, endpoint, eventId, response });
  };

  /** Every user has one device, whose list has the number of requests for it as its stream id. */
  #devices(url: URL): JsonObject | undefined {
    const [, , , , , what = '', user = ''] = url.pathname.split('/').map(decodeURIComponent);
    if (what !== 'devices') return { device_keys: {} };
    const keys = { [`ed25519:DEVICE`]: 'key' };
    const device = { user_id: user, device_id: 'DEVICE', algorithms: [], keys, signatures: {} };
    return { user_id: user, stream_id: 1, devices: [{ device_id: 'DEVICE', keys: device }] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const room of this.rooms.values()) room.release();
    await this.peer[Symbol.asyncDispose]();
  }
}
