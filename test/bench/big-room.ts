/**
 * A big room on a server elsewhere, as texts: a create event, its creator, a history of power levels (so that even an
 * answer without members has an auth chain to be judged), other state, then members who join one after another. All
 * events are signed with one key.
 */
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import type { KeyPair } from '../../src/matrix/crypto/ed25519.ts';
import { buildEvent } from '../../src/matrix/event-builder.ts';
import type { EventId, RoomId, ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { checkPdu } from '../../src/matrix/pdu-check.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type RoomVersionRules, rulesOfVersion } from '../../src/matrix/room-versions.ts';

export interface BigRoomShape {
  readonly serverName: ServerName;
  readonly keyId: string;
  readonly key: KeyPair;
  /** At least 1. */
  readonly members: number;
  /** Tells rooms of one shape apart. */
  readonly name?: string;
  /** Room version; default 11. */
  readonly version?: string;
  /** Superseded power levels, which only the auth chain holds; default 200. */
  readonly formerLevels?: number;
  /** State events that are no members; default 50. */
  readonly others?: number;
}

const firstTs = 1_700_000_000_000;
const heroes = 5;

export class BigRoom {
  readonly rules: RoomVersionRules;
  readonly roomId: RoomId;
  readonly shape: BigRoomShape;
  /** Ids of the current state and of what its auth chain has besides. */
  readonly stateIds: EventId[] = [];
  readonly chainIds: EventId[] = [];
  /** The state without members but a few, and its auth chain. */
  readonly briefIds: EventId[] = [];
  readonly briefChainIds: EventId[] = [];
  readonly #texts = new Map<EventId, string>();
  readonly #create: RoomEvent;
  #levels: RoomEvent;
  #joinRules: RoomEvent;
  #depth = 0;
  #last: readonly EventId[] = [];

  constructor(shape: BigRoomShape) {
    const rules = rulesOfVersion(shape.version ?? '11');
    if (rules === undefined) throw new Error('no such room version');
    this.rules = rules;
    this.shape = shape;
    const creator = this.user('creator');
    const room_id = rules.roomIdIsCreateHash
      ? undefined
      : `!big${shape.members}${shape.name ?? ''}:${shape.serverName}`;
    this.roomId = (room_id ?? '') as RoomId;
    this.#create = this.#add(
      creator,
      'm.room.create',
      '',
      {
        room_version: rules.version,
        members: shape.members,
        name: shape.name ?? '',
      },
      [],
    );
    this.roomId = this.#create.roomId;
    const founder = this.#add(creator, 'm.room.member', creator, { membership: 'join' }, []);
    const levels = (index: number): JsonObject => ({
      users: { ...(rules.privilegedCreators ? {} : { [creator]: 100 }), [this.user(`former${index}`)]: 50 },
    });
    this.#levels = this.#add(creator, 'm.room.power_levels', '', levels(0), [founder]);
    this.chainIds.push(this.#levels.eventId);
    for (let index = 1; index <= (shape.formerLevels ?? 200); index += 1) {
      this.#levels = this.#add(creator, 'm.room.power_levels', '', levels(index), [this.#levels, founder]);
      this.chainIds.push(this.#levels.eventId);
    }
    this.chainIds.pop();
    const byCreator = [this.#levels, founder];
    this.#joinRules = this.#add(creator, 'm.room.join_rules', '', { join_rule: 'public' }, byCreator);
    const shared = { history_visibility: 'shared' };
    const other = [this.#joinRules, this.#add(creator, 'm.room.history_visibility', '', shared, byCreator)];
    for (let index = 0; index < (shape.others ?? 50); index += 1)
      other.push(
        this.#add(creator, 'org.example.state', `key ${index}`, { value: 'something '.repeat(10) }, byCreator),
      );
    this.stateIds.push(...[this.#create, founder, this.#levels, ...other].map(({ eventId }) => eventId));
    this.briefIds.push(...this.stateIds.filter((id) => id !== founder.eventId));
    this.briefChainIds.push(...this.chainIds, founder.eventId);
    for (let index = 0; index < shape.members; index += 1) {
      const user = this.user(`member${index}`);
      const content = { membership: 'join', displayname: `Member ${index}`, avatar_url: `mxc://example.org/${index}` };
      const { eventId } = this.#add(user, 'm.room.member', user, content, [this.#levels, this.#joinRules]);
      this.stateIds.push(eventId);
      if (index < heroes) this.briefIds.push(eventId);
    }
  }

  user(localpart: string): string {
    return `@${localpart}:${this.shape.serverName}`;
  }

  /** The PDU as it is sent. */
  text(id: string): string | undefined {
    return this.#texts.get(id as EventId);
  }

  texts(ids: readonly EventId[]): string[] {
    return ids.map((id) => this.#texts.get(id) ?? '');
  }

  /** What an answer to make_join holds. */
  joinTemplate(user: string): JsonObject {
    const auth = [...(this.rules.roomIdIsCreateHash ? [] : [this.#create]), this.#levels, this.#joinRules];
    return {
      type: 'm.room.member',
      state_key: user,
      sender: user,
      room_id: this.roomId,
      content: { membership: 'join' },
      depth: this.#depth + 1,
      prev_events: [...this.#last],
      auth_events: auth.map(({ eventId }) => eventId),
      origin_server_ts: firstTs + this.#depth + 1,
    };
  }

  /** Lets an event of another server follow. */
  take(text: string): void {
    const checked = checkPdu(text, this.rules);
    if (!checked.ok) throw new Error(checked.error.message);
    this.#last = [checked.value.eventId];
    this.#texts.set(checked.value.eventId, text);
    this.#depth = Math.max(this.#depth, checked.value.depth);
  }

  /** The text of a message of the first member, behind all that came before. */
  say(body: string): string {
    const { serverName, keyId, key } = this.shape;
    const member = this.stateIds[this.stateIds.length - this.shape.members];
    if (member === undefined) throw new Error('the room has no members');
    this.#depth += 1;
    const event = buildEvent({
      ...{ rules: this.rules, serverName, keyId, key, depth: this.#depth, originServerTs: Date.now() },
      proto: {
        type: 'm.room.message',
        sender: this.user('member0'),
        content: { msgtype: 'm.text', body },
        room_id: this.roomId,
      },
      prevEvents: this.#last,
      authEvents: [...(this.rules.roomIdIsCreateHash ? [] : [this.#create.eventId]), this.#levels.eventId, member],
    });
    this.#last = [event.eventId];
    return canonicalJson(event.pdu);
  }

  #add(sender: string, type: string, stateKey: string, content: JsonObject, cited: readonly RoomEvent[]): RoomEvent {
    const { serverName, keyId, key } = this.shape;
    const citesCreate = type !== 'm.room.create' && !this.rules.roomIdIsCreateHash;
    this.#depth += 1;
    const event = buildEvent({
      ...{ rules: this.rules, serverName, keyId, key, depth: this.#depth, originServerTs: firstTs + this.#depth },
      proto: { type, state_key: stateKey, sender, content, room_id: this.roomId === '' ? undefined : this.roomId },
      prevEvents: this.#last,
      authEvents: [...(citesCreate ? [this.#create] : []), ...cited].map(({ eventId }) => eventId),
    });
    this.#last = [event.eventId];
    this.#texts.set(event.eventId, canonicalJson(event.pdu));
    return event;
  }
}
