/** The state and the auth chains of rooms (S-S API v1.19 §Retrieving event authorization and state). PDUs come as raw text. */
import type { ServerName } from '../../matrix/ids.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer } from '../exchange.ts';
import { bigReplyOf, listReplyOf, stringsReplyOf } from '../reply.ts';
import { anything, call, mebibyte, minute, path, type Called, type CallOptions } from './call.ts';

export interface StateAnswer {
  /** Raw PDUs: the state before the event. */
  readonly state: Iterable<string>;
  readonly authChain: Iterable<string>;
}

export interface StateIds {
  readonly stateIds: readonly string[];
  readonly authChainIds: readonly string[];
}

async function readState(answer: FederationAnswer): Promise<StateAnswer> {
  const { lists } = await bigReplyOf(['pdus', 'auth_chain'], anything)(answer);
  return { state: lists.pdus, authChain: lists.auth_chain };
}

async function readStateIds(answer: FederationAnswer): Promise<StateIds> {
  const { lists } = await stringsReplyOf(['pdu_ids', 'auth_chain_ids'], anything)(answer);
  return { stateIds: lists.pdu_ids.strings, authChainIds: lists.auth_chain_ids.strings };
}

export const stateEndpoints = (client: FederationClient) => ({
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
});
