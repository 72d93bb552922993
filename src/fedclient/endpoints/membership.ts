/** Joining, leaving, knocking, inviting (S-S API v1.19 §Joining Rooms … §Third-party invites). Events go as raw text. */
import { Readable } from 'node:stream';
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import { isJsonObject, parseJson, rawElements, rawMembers, type JsonObject } from '../../matrix/json.ts';
import type { FederationClient } from '../client.ts';
import { bytesOf, type FederationAnswer } from '../exchange.ts';
import type { FederationFault } from '../fault.ts';
import { BadReply, bigReplyOf, listReplyOf, replyOf } from '../reply.ts';
import { call, mebibyte, minute, path, second, type Called, type CallOptions } from './call.ts';

export interface EventTemplate {
  /** Absent in answers of old servers: version 1 or 2. */
  readonly roomVersion: string | undefined;
  readonly event: JsonObject;
}

export interface JoinAnswer {
  /** Raw PDUs: the state before the join. */
  readonly state: Iterable<string>;
  /** Raw PDUs. */
  readonly authChain: Iterable<string>;
  /** Raw PDU: the join event with the resident server's signature, where it sends one. */
  readonly event: string | undefined;
  readonly membersOmitted: boolean;
  /** Servers with joined members before the join, where members were omitted. */
  readonly serversInRoom: readonly string[] | undefined;
}

export interface Invite {
  readonly roomId: string;
  readonly eventId: string;
  readonly roomVersion: string;
  /** Raw PDU. */
  readonly event: string;
  /** Raw events. */
  readonly inviteRoomState: readonly string[];
}

const object = v.custom<JsonObject>(isJsonObject, 'expected an object');
const template = v.object({ room_version: v.optional(v.string()), event: object });
const joined = v.object({
  members_omitted: v.optional(v.boolean()),
  servers_in_room: v.optional(v.array(v.string())),
  event: v.optional(object),
});
const anything = v.looseObject({});

async function makeTemplate(answer: FederationAnswer): Promise<EventTemplate> {
  const { room_version: roomVersion, event } = await replyOf(template)(answer);
  return { roomVersion, event };
}

async function joinAnswer(answer: FederationAnswer): Promise<JoinAnswer> {
  const { lists, rest, restText } = await bigReplyOf(['state', 'auth_chain'], joined)(answer);
  return {
    state: lists.state,
    authChain: lists.auth_chain,
    event: rawMembers(restText).get('event'),
    membersOmitted: rest.members_omitted ?? false,
    serversInRoom: rest.servers_in_room,
  };
}

/** Version 1 answers `[200, {…}]`, which comes from old servers, whose rooms are small. */
async function firstVersionJoinAnswer(answer: FederationAnswer): Promise<JoinAnswer> {
  const text = await bodyText(answer);
  const object = Array.isArray(parseJson(text)) ? (rawElements(text)[1] ?? '') : text;
  return joinAnswer({ ...answer, body: Readable.from([Buffer.from(object)]) });
}

/** The endpoint is not known there, and no refusal of the request. */
const isUnknownEndpoint = (fault: FederationFault): boolean =>
  fault.kind === 'http' &&
  (fault.status === 404 || fault.status === 400) &&
  (fault.errcode === 'M_UNRECOGNIZED' || fault.errcode === 'M_UNKNOWN');

/** The raw `event` of an object's text. @throws BadReply */
function eventIn(text: string): string {
  const value = parseJson(text);
  const event = isJsonObject(value) && isJsonObject(value.event) ? rawMembers(text).get('event') : undefined;
  if (event === undefined) throw new BadReply('the answer holds no event');
  return event;
}

const bodyText = async (answer: FederationAnswer): Promise<string> => (await bytesOf(answer.body)).toString('utf8');

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

// oxlint-disable-next-line max-lines-per-function -- one row an endpoint
export const membershipEndpoints = (client: FederationClient) => ({
  /** The join event to be signed; `versions` are the room versions that we know. */
  makeJoin: (
    server: ServerName,
    roomId: string,
    userId: string,
    versions: readonly string[],
    options: CallOptions = {},
  ): Called<EventTemplate> => {
    const target = path`/_matrix/federation/v1/make_join/${roomId}/${userId}`;
    return call(client, server, { method: 'GET', path: target, query: { ver: versions } }, options, makeTemplate);
  },

  /** Sends the signed join, by version 1 to servers that know no version 2; the answer may be as large as the room. */
  sendJoin: async (
    server: ServerName,
    roomId: string,
    eventId: string,
    event: string,
    omitMembers: boolean,
    options: CallOptions = {},
  ): Called<JoinAnswer> => {
    const target = path`/_matrix/federation/v2/send_join/${roomId}/${eventId}`;
    const query = omitMembers ? { omit_members: true } : {};
    const bounds = { timeoutMs: 5 * minute, maxBytes: 256 * mebibyte };
    const put = { method: 'PUT', body: event, ...bounds } as const;
    const sent = await call(client, server, { ...put, path: target, query }, options, joinAnswer);
    if (sent.ok || !isUnknownEndpoint(sent.error)) return sent;
    const first = path`/_matrix/federation/v1/send_join/${roomId}/${eventId}`;
    return call(client, server, { ...put, path: first, maxBytes: 64 * mebibyte }, options, firstVersionJoinAnswer);
  },

  makeLeave: (server: ServerName, roomId: string, userId: string, options: CallOptions = {}): Called<EventTemplate> => {
    const target = path`/_matrix/federation/v1/make_leave/${roomId}/${userId}`;
    return call(client, server, { method: 'GET', path: target }, options, makeTemplate);
  },

  sendLeave: async (
    server: ServerName,
    roomId: string,
    eventId: string,
    event: string,
    options: CallOptions = {},
  ): Called<JsonObject> => {
    const target = path`/_matrix/federation/v2/send_leave/${roomId}/${eventId}`;
    return call(client, server, { method: 'PUT', path: target, body: event }, options, replyOf(object));
  },

  makeKnock: (
    server: ServerName,
    roomId: string,
    userId: string,
    versions: readonly string[],
    options: CallOptions = {},
  ): Called<EventTemplate> => {
    const target = path`/_matrix/federation/v1/make_knock/${roomId}/${userId}`;
    return call(client, server, { method: 'GET', path: target, query: { ver: versions } }, options, makeTemplate);
  },

  /** The raw events of `knock_room_state`. */
  sendKnock: (
    server: ServerName,
    roomId: string,
    eventId: string,
    event: string,
    options: CallOptions = {},
  ): Called<readonly string[]> => {
    const target = path`/_matrix/federation/v1/send_knock/${roomId}/${eventId}`;
    return call(client, server, { method: 'PUT', path: target, body: event }, options, async (answer) => {
      return (await listReplyOf(['knock_room_state'], anything)(answer)).lists.knock_room_state;
    });
  },

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
    return call(client, server, request, options, replyOf(object));
  },
});
