/**
 * Making rooms (C-S API v1.19, `POST /createRoom`): all events that a request implies, in the specification's order, in
 * one transaction: either the whole room is there or nothing of it.
 */
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { type RoomAlias, type ServerName, type UserId, formatRoomAlias, parseUserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { type RoomVersion, type RoomVersionRules, roomVersions } from '../../matrix/room-versions.ts';
import type { Tx } from '../../storage/index.ts';
import type { RoomCore } from '../core.ts';
import type { Room } from '../types.ts';
import type { RoomAliases } from './alias.ts';
import { memberContent } from './member-content.ts';
import type { Memberships } from './membership.ts';
import { defaultPowerLevels } from './power-levels.ts';
import type { Sender, Sending } from './send.ts';
import type { RoomUsers } from './users.ts';

/** What a client may ask for, by the names that it uses. */
export interface CreateRoomBody {
  readonly visibility?: 'public' | 'private' | undefined;
  readonly room_alias_name?: string | undefined;
  readonly name?: string | undefined;
  readonly topic?: string | undefined;
  readonly invite?: readonly string[] | undefined;
  readonly room_version?: string | undefined;
  readonly creation_content?: JsonObject | undefined;
  readonly initial_state?: readonly InitialState[] | undefined;
  readonly preset?: Preset | undefined;
  readonly is_direct?: boolean | undefined;
  readonly power_level_content_override?: JsonObject | undefined;
}

export interface InitialState {
  readonly type: string;
  readonly state_key?: string | undefined;
  readonly content: JsonObject;
}

export type Preset = 'private_chat' | 'public_chat' | 'trusted_private_chat';

const presets: Record<Preset, { readonly joinRule: string; readonly guestAccess: string }> = {
  private_chat: { joinRule: 'invite', guestAccess: 'can_join' },
  trusted_private_chat: { joinRule: 'invite', guestAccess: 'can_join' },
  public_chat: { joinRule: 'public', guestAccess: 'forbidden' },
};

export interface RoomCreationParts {
  readonly rooms: RoomCore;
  readonly users: RoomUsers;
  readonly aliases: RoomAliases;
  readonly memberships: Memberships;
  readonly sending: Sending;
  readonly serverName: ServerName;
  readonly defaultVersion: RoomVersion;
}

/** A request with its defaults filled in and its ids checked. */
interface Plan {
  readonly body: CreateRoomBody;
  readonly sender: Sender;
  readonly rules: RoomVersionRules;
  readonly preset: Preset;
  readonly invitees: readonly UserId[];
  readonly alias: RoomAlias | undefined;
}

/** What says that the rules of rooms forbid something. */
const refused: ReadonlySet<string> = new Set(['M_FORBIDDEN', 'M_INVALID_PARAM']);

export class RoomCreation {
  readonly #parts: RoomCreationParts;

  constructor(parts: RoomCreationParts) {
    this.#parts = parts;
  }

  /**
   * Makes a room with everything that the request asks for, but for the invites of users of other servers.
   * @throws M_ROOM_IN_USE, M_UNSUPPORTED_ROOM_VERSION, M_INVALID_ROOM_STATE, M_INVALID_PARAM, M_INVITE_BLOCKED,
   *   M_USER_SUSPENDED
   */
  create(tx: Tx, body: CreateRoomBody, sender: Sender): Room {
    if (sender.isSuspended) throw matrixError.userSuspended();
    const plan = this.#plan(tx, body, sender);
    const { rooms, memberships, aliases } = this.#parts;
    const room = rooms.createRoom(tx, {
      version: plan.rules.version,
      sender: sender.userId,
      content: createContent(plan),
    });
    try {
      this.#fill(tx, room, plan);
    } catch (error) {
      if (!(error instanceof MatrixError) || !refused.has(error.errcode)) throw error;
      throw matrixError.invalidRoomState(`The room cannot be set up like this: ${error.message}`);
    }
    // Users of other servers are invited once the room is there: that takes their servers.
    for (const target of plan.invitees.filter((user) => this.#parts.users.isLocal(user))) {
      memberships.invite(tx, { room, sender: sender.userId, target, isDirect: body.is_direct });
    }
    if (body.visibility === 'public') aliases.setPublished(tx, room, true);
    return room;
  }

  #plan(tx: Tx, body: CreateRoomBody, sender: Sender): Plan {
    const rules = roomVersions.get(body.room_version ?? this.#parts.defaultVersion);
    if (rules === undefined) throw matrixError.unsupportedRoomVersion();
    const preset = body.preset ?? (body.visibility === 'public' ? 'public_chat' : 'private_chat');
    const invitees = userIds(body.invite ?? [], 'invite').filter((user) => user !== sender.userId);
    return { body, sender, rules, preset, invitees, alias: this.#freeAlias(tx, body.room_alias_name, sender) };
  }

  #freeAlias(tx: Tx, localpart: string | undefined, { appserviceId }: Sender): RoomAlias | undefined {
    if (localpart === undefined) return undefined;
    const alias =
      /[\s:]/.test(localpart) || localpart === '' ? undefined : formatRoomAlias(localpart, this.#parts.serverName);
    if (alias === undefined) throw matrixError.invalidParam('The room alias is not valid');
    this.#parts.aliases.mayMake(alias, appserviceId);
    if (this.#parts.aliases.roomOf(tx, alias) !== undefined) throw matrixError.roomInUse();
    return alias;
  }

  /** Everything but create event and invites, in the order of the specification. */
  #fill(tx: Tx, room: Room, plan: Plan): void {
    const { rooms, users, aliases, sending } = this.#parts;
    const { body, sender, alias } = plan;
    const { userId } = sender;
    const set = (type: string, content: JsonObject, stateKey = ''): void => {
      rooms.send(tx, room, { type, stateKey, sender: userId, content });
    };
    set('m.room.member', memberContent(tx, users, { membership: 'join', target: userId }), userId);
    set('m.room.power_levels', initialLevels(plan));
    if (alias !== undefined) {
      aliases.add(tx, alias, room, userId);
      set('m.room.canonical_alias', { alias });
    }
    // "Takes precedence over events set by preset, but gets overridden by name and topic keys."
    const initial = (body.initial_state ?? []).filter(
      ({ type, state_key: key = '' }) =>
        key !== '' ||
        !((type === 'm.room.name' && body.name !== undefined) || (type === 'm.room.topic' && body.topic !== undefined)),
    );
    const given = new Set(initial.filter(({ state_key: key = '' }) => key === '').map(({ type }) => type));
    for (const [type, content] of presetState(plan.preset)) if (!given.has(type)) set(type, content);
    for (const { type, state_key: stateKey = '', content } of initial) {
      sending.state(tx, room, { type, stateKey, content }, sender);
    }
    if (body.name !== undefined) set('m.room.name', { name: body.name });
    if (body.topic !== undefined) set('m.room.topic', topicContent(body.topic));
  }
}

/** Content of a topic event for plain text: the block and the older key say the same (§ m.room.topic). */
const topicContent = (topic: string): JsonObject => ({ topic, 'm.topic': { 'm.text': [{ body: topic }] } });

function presetState(preset: Preset): [type: string, content: JsonObject][] {
  const { joinRule, guestAccess } = presets[preset];
  const state: [string, JsonObject][] = [
    ['m.room.join_rules', { join_rule: joinRule }],
    ['m.room.history_visibility', { history_visibility: 'shared' }],
  ];
  // "If this event is absent, servers should act as if it is present and has the guest_access value 'forbidden'."
  if (guestAccess !== 'forbidden') state.push(['m.room.guest_access', { guest_access: guestAccess }]);
  return state;
}

/** The default levels, with the wish on top of them key by key. */
function initialLevels({ body, sender, rules, preset, invitees }: Plan): JsonObject {
  // "All invitees are given the same power level as the room creator."
  const admins = preset === 'trusted_private_chat' ? [sender.userId, ...invitees] : [sender.userId];
  const levels = defaultPowerLevels(rules, admins, preset === 'public_chat');
  return { ...levels, ...body.power_level_content_override };
}

/** `creation_content` without what the server decides, and with the additional creators where the version has them. */
function createContent({ body, sender, rules, preset, invitees }: Plan): JsonObject {
  const { creator: _creator, room_version: _version, ...content } = body.creation_content ?? {};
  const federate = content['m.federate'];
  if (federate !== undefined && typeof federate !== 'boolean')
    throw matrixError.badJson('m.federate must be a boolean');
  if (!rules.privilegedCreators) return content;
  const wished = content.additional_creators ?? [];
  if (!Array.isArray(wished)) throw matrixError.invalidParam('additional_creators must be a list of user ids');
  // "The server SHOULD combine additional_creators … and the invite array …, deduplicating between the two parameters."
  const all = preset === 'trusted_private_chat' ? [...wished, ...invitees] : wished;
  const creators = userIds(all, 'additional_creators').filter((user) => user !== sender.userId);
  delete content.additional_creators;
  return creators.length === 0 ? content : { ...content, additional_creators: creators };
}

/** Different user ids of a list. @throws M_INVALID_PARAM when an item is none */
export function userIds(list: readonly unknown[], name: string): UserId[] {
  const users = new Set<UserId>();
  for (const item of list) {
    const user = typeof item === 'string' ? parseUserId(item) : undefined;
    if (user === undefined) throw matrixError.invalidParam(`${name} holds something that is not a user id`);
    users.add(user);
  }
  return [...users];
}
