/** Events of rooms: single ones, and what precedes them (S-S API v1.19 §Backfilling and retrieving missing events). PDUs come as raw text. */
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer } from '../exchange.ts';
import { listReplyOf, replyOf } from '../reply.ts';
import { anything, call, mebibyte, minute, path, second, type Called, type CallOptions } from './call.ts';

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

const atTime = v.object({ event_id: v.string(), origin_server_ts: v.number() });

const readPdus = async (answer: FederationAnswer): Promise<readonly string[]> =>
  (await listReplyOf(['pdus'], anything)(answer)).lists.pdus;

async function readAtTime(answer: FederationAnswer): Promise<EventAtTime> {
  const { event_id: eventId, origin_server_ts: originServerTs } = await replyOf(atTime)(answer);
  return { eventId, originServerTs };
}

export const eventEndpoints = (client: FederationClient) => ({
  /** One event as raw text; undefined when the answer holds none. */
  event: (server: ServerName, eventId: string, options: CallOptions = {}): Called<string | undefined> => {
    const request = { method: 'GET', path: path`/_matrix/federation/v1/event/${eventId}`, maxBytes: mebibyte } as const;
    return call(client, server, request, options, async (answer) => (await readPdus(answer))[0]);
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
});
