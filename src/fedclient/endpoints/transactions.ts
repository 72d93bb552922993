/** What we send of our own events: transactions, and single ones to policy servers (S-S API v1.19 §Transactions). */
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer } from '../exchange.ts';
import { replyOf } from '../reply.ts';
import { call, minute, path, second, type Called, type CallOptions } from './call.ts';

/** What became of each event of a transaction, by event id. */
export type SendAnswer = Readonly<Record<string, { readonly error: string | undefined }>>;

const sent = v.object({
  pdus: v.optional(v.record(v.string(), v.looseObject({ error: v.optional(v.unknown()) })), {}),
});

async function readSent(answer: FederationAnswer): Promise<SendAnswer> {
  const { pdus } = await replyOf(sent)(answer);
  return Object.fromEntries(
    Object.entries(pdus).map(([id, { error }]) => [id, { error: error === undefined ? undefined : String(error) }]),
  );
}

export const transactionEndpoints = (client: FederationClient) => ({
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

  /** Signatures of a policy server for an event (raw PDU), by signer and key id. */
  policySign: (server: ServerName, event: string, options: CallOptions = {}): Called<JsonObject> =>
    call(
      client,
      server,
      { method: 'POST', path: '/_matrix/policy/v1/sign', body: event, timeoutMs: 15 * second },
      options,
      replyOf(jsonObject),
    ),
});
