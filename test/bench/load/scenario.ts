/** What a scenario of load is, and the requests and clocks that all of them use. */
import { threadId } from 'node:worker_threads';
import { median, type Unit } from './rows.ts';
import { type Client, type Target } from './target.ts';

/** Takes one figure; undefined where the target does not tell. */
export type Measure = () => Promise<number | undefined>;

export interface Scenario {
  readonly name: string;
  readonly unit: Unit;
  /** 'ms', 'MB' and 'B': less is better; '1/s': more is. */
  prepare(target: Target, size: Size): Promise<Measure>;
}

export interface Size {
  readonly rooms: number;
  readonly members: number;
  readonly parked: number;
  /** Seconds of each throughput measurement. */
  readonly seconds: number;
}

export const v3 = '/_matrix/client/v3';
export const enc = encodeURIComponent;
/** Threads and runs have transaction ids of their own. */
const run = `${Date.now().toString(36)}.${threadId}`;
let transactions = 0;
export const nextTransaction = (): string => `b${run}.${(transactions += 1)}`;

/** A message about as long as people write. */
const text = (): string => `message ${transactions} of a bench, about as long as what people write to each other`;

/** Sends a message; its event id. */
export async function send(client: Client, roomId: string): Promise<string> {
  const answer = await client.send(roomId, nextTransaction(), text());
  const eventId = answer.body['event_id'];
  if (answer.status !== 200 || typeof eventId !== 'string') throw new Error(`send: ${JSON.stringify(answer)}`);
  return eventId;
}

/** How long it takes, in ms. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Median of several times, in ms. */
export const repeated = async (times: number, work: () => Promise<unknown>): Promise<number> => {
  const values: number[] = [];
  for (let count = 0; count < times; count += 1) values.push(await timed(work));
  return median(values);
};

/** Requests of a kind that come before the first that counts: a server that has just started is slower than it will be. */
export const warmUp = 500;

export const publicRoom = (client: Client): Promise<string> => client.createRoom({ preset: 'public_chat' });
