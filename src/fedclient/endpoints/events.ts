/** Events and state of rooms, transactions, policy servers (S-S API v1.19). PDUs come and go as raw text. */
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import { isJsonObject, parseJson, type JsonObject } from '../../matrix/json.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer } from '../exchange.ts';
import { bigReplyOf, listReplyOf, replyOf } from '../reply.ts';
import { call, mebibyte, minute, path, second, type Called, type CallOptions } from './call.ts';

/** What became of each event of a transaction, by event id. */
export type SendAnswer = Readonly<Record<string, { readonly error: string | undefined }>>;

export interface StateAnswer {
  /** Raw PDUs: the state before the event. */
  readonly state: Iterable<string>;
  readonly authChain: Iterable<string>;
}

export interface StateIds {
  readonly stateIds: readonly string[];
  readonly authChainIds: readonly string[];
}

export interface MissingEventsWish {
  readonly earliest: readonly string[];
  readonly latest: readonly string[];
  readonly limit: number;
  readonly minDepth: number;
}

export interface EventAtTime {
  readonly eventId: string;
  /** ms */
  readonly originServerTs: number;
}

const object = v.custom<JsonObject>(isJsonObject, 'expected an object');
const anything = v.looseObject({});
const sent = v.object({
  pdus: v.optional(v.record(v.string(), v.looseObject({ error: v.optional(v.unknown()) })), {}),
});
const atTime = v.object({ event_id: v.string(), origin_server_ts: v.number() });

const readPdus = async (answer: FederationAnswer): Promise<readonly string[]> =>
  (await listReplyOf(['pdus'], anything)(answer)).lists.pdus;

async function readState(answer: FederationAnswer): Promise<StateAnswer> {
  const { lists } = await bigReplyOf(['pdus', 'auth_chain'], anything)(answer);
  return { state: lists.pdus, authChain: lists.auth_chain };
}

const strings = (elements: readonly string[]): string[] =>
  elements.map(parseJson).filter((element) => typeof element === 'string');

async function readStateIds(answer: FederationAnswer): Promise<StateIds> {
  const { lists } = await listReplyOf(['pdu_ids', 'auth_chain_ids'], anything)(answer);
  return { stateIds: strings(lists.pdu_ids), authChainIds: strings(lists.auth_chain_ids) };
}

async function readSent(answer: FederationAnswer): Promise<SendAnswer> {
  const { pdus } = await replyOf(sent)(answer);
  return Object.fromEntries(
    Object.entries(pdus).map(([id, { error }]) => [id, { error: error === undefined ? undefined : String(error) }]),
  );
}

async function readAtTime(answer: FederationAnswer): Promise<EventAtTime> {
  const { event_id: eventId, origin_server_ts: originServerTs } = await replyOf(atTime)(answer);
  return { eventId, originServerTs };
}

// oxlint-disable-next-line max-lines-per-function -- one row an endpoint
export const eventEndpoints = (client: FederationClient) => ({
  /**
   * Sends a transaction: `body` is its JSON text, the same at each attempt. Whoever calls keeps pauses of his own; any
   * answer but 200 counts as no answer.
   */
  sendTransaction: (server: ServerName, txnId: string, body: string, options: CallOptions = {}): Called<SendAnswer> => {
    const request = { method: 'PUT', path: path`/_matrix/federation/v1/send/${txnId}`, body } as const;
    const failsOn = (status: number): boolean => status >= 500 || status === 429;
    const all = { ...request, timeoutMs: minute, ignoreBackoff: true, failsOn };
    return call(client, server, all, options, readSent);
  },

  /** One event as raw text; undefined when the answer holds none. */
  event: (server: ServerName, eventId: string, options: CallOptions = {}): Called<string | undefined> => {
    const request = { method: 'GET', path: path`/_matrix/federation/v1/event/${eventId}`, maxBytes: mebibyte } as const;
    return call(client, server, request, options, async (answer) => (await readPdus(answer))[0]);
  },

  /** The state before an event; may be as large as the room. */
  state: (server: ServerName, roomId: string, eventId: string, options: CallOptions = {}): Called<StateAnswer> => {
    const request = { method: 'GET', path: path`/_matrix/federation/v1/state/${roomId}` } as const;
    const bounds = { timeoutMs: 5 * minute, maxBytes: 256 * mebibyte };
    return call(client, server, { ...request, query: { event_id: eventId }, ...bounds }, options, readState);
  },

  stateIds: (server: ServerName, roomId: string, eventId: string, options: CallOptions = {}): Called<StateIds> => {
    const request = { method: 'GET', path: path`/_matrix/federation/v1/state_ids/${roomId}` } as const;
    const bounds = { timeoutMs: 2 * minute, maxBytes: 64 * mebibyte };
    return call(client, server, { ...request, query: { event_id: eventId }, ...bounds }, options, readStateIds);
  },

  /** Raw PDUs: the events themselves and what precedes them, at most `limit`. */
  backfill: (
    server: ServerName,
    roomId: string,
    eventIds: readonly string[],
    limit: number,
    options: CallOptions = {},
  ): Called<readonly string[]> => {
    const request = { method: 'GET', path: path`/_matrix/federation/v1/backfill/${roomId}` } as const;
    const bounds = { timeoutMs: minute, maxBytes: 64 * mebibyte };
    return call(client, server, { ...request, query: { v: eventIds, limit }, ...bounds }, options, readPdus);
  },

  /** Raw PDUs between what is known (`earliest`) and what is not (`latest`). */
  missingEvents: (
    server: ServerName,
    roomId: string,
    { earliest, latest, limit, minDepth }: MissingEventsWish,
    options: CallOptions = {},
  ): Called<readonly string[]> => {
    const target = path`/_matrix/federation/v1/get_missing_events/${roomId}`;
    const body = {
      earliest_events: [...earliest],
      latest_events: [...latest],
      limit,
      min_depth: minDepth,
    };
    const request = { method: 'POST', path: target, body, maxBytes: 32 * mebibyte } as const;
    return call(client, server, request, options, async (answer) => {
      return (await listReplyOf(['events'], anything)(answer)).lists.events;
    });
  },

  /** Raw PDUs: the whole auth chain of an event. */
  eventAuth: (
    server: ServerName,
    roomId: string,
    eventId: string,
    options: CallOptions = {},
  ): Called<readonly string[]> => {
    const target = path`/_matrix/federation/v1/event_auth/${roomId}/${eventId}`;
    const request = { method: 'GET', path: target, timeoutMs: minute, maxBytes: 64 * mebibyte } as const;
    return call(client, server, request, options, async (answer) => {
      return (await listReplyOf(['auth_chain'], anything)(answer)).lists.auth_chain;
    });
  },

  /** The event closest to `ts` (ms) in a direction. */
  timestampToEvent: (
    server: ServerName,
    roomId: string,
    ts: number,
    dir: 'f' | 'b',
    options: CallOptions = {},
  ): Called<EventAtTime> => {
    const target = path`/_matrix/federation/v1/timestamp_to_event/${roomId}`;
    const request = { method: 'GET', path: target, query: { ts, dir }, timeoutMs: 15 * second } as const;
    return call(client, server, request, options, readAtTime);
  },

  /** Signatures of a policy server for an event (raw PDU), by signer and key id. */
  policySign: (server: ServerName, event: string, options: CallOptions = {}): Called<JsonObject> =>
    call(
      client,
      server,
      { method: 'POST', path: '/_matrix/policy/v1/sign', body: event, timeoutMs: 15 * second },
      options,
      replyOf(object),
    ),
});
