/** A person with an account on one of the two servers: what the scenarios do, in the words of the client-server API. */
import { isDeepStrictEqual } from 'node:util';
import type { Answer, Client } from '../../support/client.ts';

const v3 = '/_matrix/client/v3';
const enc = encodeURIComponent;

export interface Content {
  readonly [key: string]: unknown;
}

export interface StateEvent {
  readonly event_id: string;
  readonly type: string;
  readonly state_key: string;
  readonly sender: string;
  readonly content: Content;
}

/** The parts of a `/sync` answer that the scenarios look at. */
export interface Sync {
  readonly next_batch: string;
  readonly presence?: { readonly events?: readonly { sender: string; content: Content }[] };
  readonly to_device?: { readonly events?: readonly { sender: string; type: string; content: Content }[] };
  readonly device_lists?: { readonly changed?: readonly string[]; readonly left?: readonly string[] };
  readonly rooms?: {
    readonly join?: Record<
      string,
      {
        readonly timeline: { readonly events: readonly StateEvent[] };
        readonly ephemeral?: { readonly events?: readonly { type: string; content: Content }[] };
      }
    >;
    readonly invite?: Record<string, { readonly invite_state: { readonly events: readonly StateEvent[] } }>;
    readonly knock?: Record<string, { readonly knock_state: { readonly events: readonly StateEvent[] } }>;
    readonly leave?: Record<string, unknown>;
  };
}

let transactions = 0;

/** Asks until `probe` gives something other than undefined or false; rejects with `what` when it never does. */
export async function until<T>(what: string, probe: () => Promise<T | undefined | false>, ms = 30_000): Promise<T> {
  const deadline = Date.now() + ms;
  let fault: unknown;
  for (;;) {
    const value = await probe().catch((error: unknown) => {
      fault = error;
    });
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`, { cause: fault });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export class Person {
  readonly client: Client;
  /** The name of the person's server. */
  readonly server: string;
  readonly baseUrl: string;

  constructor(client: Client, server: string, baseUrl: string) {
    this.client = client;
    this.server = server;
    this.baseUrl = baseUrl;
  }

  get id(): string {
    return this.client.userId;
  }

  get(path: string): Promise<Record<string, unknown>> {
    return this.client.must('GET', `${v3}/${path}`);
  }

  post(path: string, body: unknown = {}): Promise<Record<string, unknown>> {
    return this.client.must('POST', `${v3}/${path}`, body);
  }

  put(path: string, body: unknown): Promise<Record<string, unknown>> {
    return this.client.must('PUT', `${v3}/${path}`, body);
  }

  createRoom(options: Content): Promise<string> {
    return this.client.createRoom(options);
  }

  join(room: string, via: string): Promise<Answer> {
    return this.client.ask('POST', `${v3}/join/${enc(room)}?server_name=${enc(via)}&via=${enc(via)}`, {});
  }

  async mustJoin(room: string, via: string): Promise<void> {
    const answer = await this.join(room, via);
    if (answer.status !== 200) throw new Error(`join: ${answer.status} ${JSON.stringify(answer.body)}`);
  }

  knock(room: string, via: string): Promise<Record<string, unknown>> {
    return this.post(`knock/${enc(room)}?server_name=${enc(via)}&via=${enc(via)}`);
  }

  /** `invite`, `kick`, `ban`, `unban`. */
  async moderate(action: string, room: string, userId: string): Promise<void> {
    await this.post(`rooms/${enc(room)}/${action}`, { user_id: userId });
  }

  async leave(room: string): Promise<void> {
    await this.post(`rooms/${enc(room)}/leave`);
  }

  async say(room: string, text: string): Promise<string> {
    transactions += 1;
    const path = `rooms/${enc(room)}/send/m.room.message/t${transactions}`;
    return String((await this.put(path, { msgtype: 'm.text', body: text }))['event_id']);
  }

  async setState(room: string, type: string, content: Content, key = ''): Promise<string> {
    return String((await this.put(`rooms/${enc(room)}/state/${enc(type)}/${enc(key)}`, content))['event_id']);
  }

  async state(room: string): Promise<readonly StateEvent[]> {
    return (await this.get(`rooms/${enc(room)}/state`)) as unknown as readonly StateEvent[];
  }

  /** Undefined where there is no member event (that this person may see). */
  async membership(room: string, userId: string): Promise<string | undefined> {
    const answer = await this.client.ask('GET', `${v3}/rooms/${enc(room)}/state/m.room.member/${enc(userId)}`);
    return answer.status === 200 ? String(answer.body['membership']) : undefined;
  }

  async sees(room: string, eventId: string): Promise<boolean> {
    return (await this.client.ask('GET', `${v3}/rooms/${enc(room)}/event/${enc(eventId)}`)).status === 200;
  }

  sync(since?: string, timeout = 0): Promise<Sync> {
    return this.client.sync(since, timeout) as unknown as Promise<Sync>;
  }

  /** Syncs from now on until `find` has found something. */
  async awaits<T>(what: string, find: (sync: Sync) => T | undefined, since?: string): Promise<T> {
    let token = since;
    return until(what, async () => {
      const sync = await this.sync(token, 1000);
      token = sync.next_batch;
      return find(sync);
    });
  }

  async untilMembership(room: string, userId: string, membership: string): Promise<void> {
    await until(
      `${this.id} sees ${userId} as ${membership}`,
      async () => (await this.membership(room, userId)) === membership,
    );
  }

  async untilSees(room: string, ...eventIds: readonly string[]): Promise<void> {
    for (const eventId of eventIds) await until(`${this.id} sees ${eventId}`, () => this.sees(room, eventId));
  }
}

const byKey = (events: readonly StateEvent[]): Record<string, string> =>
  Object.fromEntries(
    events.map(({ type, state_key, event_id }): [string, string] => [`${type} ${state_key}`, event_id]).sort(),
  );

/** Waits until two people of different servers are told the same state, event for event. */
export async function sameState(room: string, one: Person, other: Person): Promise<void> {
  let last = '';
  try {
    await until('equal state', async () => {
      const [first, second] = [byKey(await one.state(room)), byKey(await other.state(room))];
      const keys = [...new Set([...Object.keys(first), ...Object.keys(second)])];
      last = keys
        .filter((key) => first[key] !== second[key])
        .map((key) => `${key}: ${first[key]} / ${second[key]}`)
        .join('; ');
      return isDeepStrictEqual(first, second);
    });
  } catch (error) {
    throw new Error(`${one.server} and ${other.server} differ: ${last}`, { cause: error });
  }
}
