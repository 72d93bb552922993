/** Inviting (S-S API v1.19 §Inviting to a room, §Third-party invites). Events go as raw text. */
import type { ServerName } from '../../matrix/ids.ts';
import { isJsonObject, parseJson, rawElements, rawMembers, type JsonObject } from '../../matrix/json.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer } from '../exchange.ts';
import { BadReply, replyOf } from '../reply.ts';
import { bodyText, call, minute, path, second, type Called, type CallOptions } from './call.ts';

export interface Invite {
  readonly roomId: string;
  readonly eventId: string;
  readonly roomVersion: string;
  /** Raw PDU. */
  readonly event: string;
  /** Raw events. */
  readonly inviteRoomState: readonly string[];
}

/** The raw `event` of an object's text. @throws BadReply */
function eventIn(text: string): string {
  const value = parseJson(text);
  const event = isJsonObject(value) && isJsonObject(value.event) ? rawMembers(text).get('event') : undefined;
  if (event === undefined) throw new BadReply('the answer holds no event');
  return event;
}

/** Version 1 answers `[200, {"event": …}]`. */
async function firstVersionAnswer(answer: FederationAnswer): Promise<string> {
  const text = await bodyText(answer);
  const value = parseJson(text);
  if (!Array.isArray(value)) return eventIn(text);
  return eventIn(rawElements(text)[1] ?? '');
}

/** `invite_room_state` put into `unsigned`, where version 1 has it. */
function withInviteState(event: string, state: readonly string[]): string {
  const members = rawMembers(event);
  members.set('unsigned', `{"invite_room_state":[${state.join(',')}]}`);
  return `{${[...members].map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`;
}

export const inviteEndpoints = (client: FederationClient) => ({
  /** The raw event with the other server's signature. */
  inviteV2: (server: ServerName, invite: Invite, options: CallOptions = {}): Called<string> => {
    const { roomId, eventId, roomVersion, event, inviteRoomState } = invite;
    const body = `{"event":${event},"invite_room_state":[${inviteRoomState.join(',')}],"room_version":${JSON.stringify(roomVersion)}}`;
    const target = path`/_matrix/federation/v2/invite/${roomId}/${eventId}`;
    const request = { method: 'PUT', path: target, body, timeoutMs: minute } as const;
    return call(client, server, request, options, async (answer) => eventIn(await bodyText(answer)));
  },

  /** For servers that know no version 2; room versions 1 and 2 only. */
  inviteV1: (server: ServerName, invite: Invite, options: CallOptions = {}): Called<string> => {
    const body = withInviteState(invite.event, invite.inviteRoomState);
    const target = path`/_matrix/federation/v1/invite/${invite.roomId}/${invite.eventId}`;
    return call(client, server, { method: 'PUT', path: target, body, timeoutMs: minute }, options, firstVersionAnswer);
  },

  /** Asks a server in the room to turn a third-party invite into an invite; `event` is the partial event. */
  exchangeThirdPartyInvite: (
    server: ServerName,
    roomId: string,
    event: JsonObject,
    options: CallOptions = {},
  ): Called<JsonObject> => {
    const target = path`/_matrix/federation/v1/exchange_third_party_invite/${roomId}`;
    const request = { method: 'PUT', path: target, body: event, timeoutMs: 30 * second } as const;
    return call(client, server, request, options, replyOf(jsonObject));
  },
});
