/**
 * Rooms of real events: hashed and signed by their senders' servers, on a graph that keeps verdicts and states the plain
 * way (room-dag.ts), which makes it the oracle for what a server must find.
 */
import { type KeyPair, keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import { buildEvent } from '../../src/matrix/event-builder.ts';
import { type EventId, type ServerName, type UserId, serverNameOf } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type EventDraft, RoomDag } from './room-dag.ts';

/** Every server's key is made from its name. */
export const keyOf = (serverName: string): KeyPair =>
  keyPairFromSeed(Uint8Array.from({ length: 32 }, (_, index) => serverName.charCodeAt(index % serverName.length)));

export type SignedDraft = Omit<EventDraft, 'topLevel' | 'roomId'>;

const firstTs = 1_700_000_000_000;

export class SignedRoom extends RoomDag {
  readonly creator: string;
  #made = 0;

  constructor(version: string, creator: string, createContent: JsonObject = {}) {
    super(version);
    this.creator = creator;
    const content: JsonObject = { room_version: version, ...createContent };
    if (this.rules.creatorInContent) content.creator = creator;
    this.roomId = this.rules.roomIdIsCreateHash ? '' : `!room${version}:${serverNameOf(creator as UserId)}`;
    const create = this.#sign({ type: 'm.room.create', sender: creator, stateKey: '', content }, [], [], 1);
    this.roomId = create.roomId;
    this.receive(create);
  }

  /** The create event, the creator's join, power levels and a public join rule. */
  static open(version: string, creator: string, levels: JsonObject = {}): SignedRoom {
    const room = new SignedRoom(version, creator);
    const users = room.rules.privilegedCreators ? {} : { [creator]: 100 };
    room.say({ type: 'm.room.member', sender: creator, stateKey: creator, content: { membership: 'join' } });
    room.say({ type: 'm.room.power_levels', sender: creator, stateKey: '', content: { users, ...levels } });
    room.say({ type: 'm.room.join_rules', sender: creator, stateKey: '', content: { join_rule: 'public' } });
    return room;
  }

  /** Makes an event on the forward extremities, or on `prev`, and receives it. */
  say(draft: SignedDraft): RoomEvent {
    const event = this.make(draft);
    this.receive(event);
    return event;
  }

  /** The same without receiving it. */
  make(draft: SignedDraft): RoomEvent {
    const plan = this.build('$plan', draft);
    return this.#sign(draft, plan.prevEvents, plan.authEvents, plan.depth);
  }

  join(user: string, prev?: readonly string[]): RoomEvent {
    const draft = { type: 'm.room.member', sender: user, stateKey: user, content: { membership: 'join' } };
    return this.say(prev === undefined ? draft : { ...draft, prev });
  }

  message(sender: string, body: string, prev?: readonly string[]): RoomEvent {
    const draft = { type: 'm.room.message', sender, content: { msgtype: 'm.text', body } };
    return this.say(prev === undefined ? draft : { ...draft, prev });
  }

  #sign(draft: SignedDraft, prev: readonly EventId[], auth: readonly EventId[], depth: number): RoomEvent {
    const serverName = serverNameOf(draft.sender as UserId) as ServerName;
    this.#made += 1;
    const cite = (eventId: EventId) =>
      this.rules.eventReferencesArePairs ? { eventId, pdu: this.event(this.nid(eventId))?.pdu } : eventId;
    return buildEvent({
      rules: this.rules,
      serverName,
      keyId: 'ed25519:test',
      key: keyOf(serverName),
      proto: {
        type: draft.type,
        state_key: draft.stateKey,
        sender: draft.sender,
        content: draft.content ?? {},
        room_id: this.roomId === '' ? undefined : this.roomId,
        redacts: draft.redacts,
      },
      prevEvents: prev.map(cite),
      authEvents: auth.map(cite),
      depth,
      originServerTs: firstTs + (draft.ts ?? this.#made),
    });
  }
}
