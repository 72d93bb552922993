/** Joining, leaving, knocking (S-S API v1.19 §Joining Rooms … §Knocking upon a room). Events go as raw text. */
import { Readable } from 'node:stream';
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import { parseJson, rawElements, rawMembers, type JsonObject } from '../../matrix/json.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer } from '../exchange.ts';
import type { FederationFault } from '../fault.ts';
import { bigReplyOf, listReplyOf, replyOf } from '../reply.ts';
import { anything, bodyText, call, mebibyte, minute, path, type Called, type CallOptions } from './call.ts';

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

const template = v.object({ room_version: v.optional(v.string()), event: jsonObject });
const joined = v.object({
  members_omitted: v.optional(v.boolean()),
  servers_in_room: v.optional(v.array(v.string())),
  event: v.optional(jsonObject),
});

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

export const joinEndpoints = (client: FederationClient) => ({
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
});

export const leaveEndpoints = (client: FederationClient) => ({
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
    return call(client, server, { method: 'PUT', path: target, body: event }, options, replyOf(jsonObject));
  },
});

export const knockEndpoints = (client: FederationClient) => ({
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
});
