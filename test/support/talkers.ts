/** A server with alice and bob for the tests of a file, and what they do there, which must succeed. */
import { afterAll, beforeAll } from '@jest/globals';
import type { TestResponse } from './http.ts';
import { register, startUserServer, v3, type TestSession, type UserServer } from './userapi.ts';

const enc = encodeURIComponent;

/** The body of an answer. @throws Error when it is none of success */
export const ok = ({ status, json, text }: TestResponse) => {
  if (status !== 200) throw new Error(`${status} ${text}`);
  return json;
};

export class Talkers {
  server!: UserServer;
  alice!: TestSession;
  bob!: TestSession;
  #transactions = 0;

  /** A new room; resolves with its id. */
  async create(by: TestSession, body: object = {}, on = this.server): Promise<string> {
    return ok(await on.client.post(`${v3}/createRoom`, body, by.token)).room_id;
  }

  /** `join`, `invite` and the like. */
  async post(by: TestSession, roomId: string, action: string, body: object = {}): Promise<void> {
    ok(await this.server.client.post(`${v3}/rooms/${enc(roomId)}/${action}`, body, by.token));
  }

  async send(by: TestSession, roomId: string, content: object, type = 'm.room.message', on = this.server) {
    const path = `${v3}/rooms/${enc(roomId)}/send/${type}/${(this.#transactions += 1)}`;
    return ok(await on.client.put(path, content, by.token)).event_id as string;
  }

  say(by: TestSession, roomId: string, body: string, on = this.server): Promise<string> {
    return this.send(by, roomId, { msgtype: 'm.text', body }, undefined, on);
  }

  edit(by: TestSession, roomId: string, target: string, body: string): Promise<string> {
    return this.send(by, roomId, {
      msgtype: 'm.text',
      body: `* ${body}`,
      'm.new_content': { msgtype: 'm.text', body },
      'm.relates_to': { rel_type: 'm.replace', event_id: target },
    });
  }

  async setState(by: TestSession, roomId: string, type: string, content: object, key = ''): Promise<string> {
    const path = `${v3}/rooms/${enc(roomId)}/state/${type}/${enc(key)}`;
    return ok(await this.server.client.put(path, content, by.token)).event_id;
  }

  redact(by: TestSession, roomId: string, eventId: string): Promise<TestResponse> {
    const path = `${v3}/rooms/${enc(roomId)}/redact/${enc(eventId)}/r${(this.#transactions += 1)}`;
    return this.server.client.put(path, { reason: 'test' }, by.token);
  }

  /** Asks for the search of events; whatever comes of it. */
  ask(by: TestSession, criteria: object, from = '', on = this.server): Promise<TestResponse> {
    const path = `${v3}/search${from === '' ? '' : `?next_batch=${from}`}`;
    return on.client.post(path, { search_categories: { room_events: criteria } }, by.token);
  }

  /** The newest first, unless told otherwise. */
  async search(by: TestSession, term: string, more: object = {}, from = '', on = this.server) {
    const criteria = { search_term: term, order_by: 'recent', ...more };
    return ok(await this.ask(by, criteria, from, on)).search_categories.room_events;
  }

  /** Ids of the events that a search finds. */
  async found(by: TestSession, term: string, more: object = {}): Promise<string[]> {
    return ids(await this.search(by, term, more));
  }
}

export const ids = ({ results }: { results: { result: { event_id: string } }[] }): string[] =>
  results.map(({ result }) => result.event_id);

/** One server for the tests of a file. */
export function useTalkers(): Talkers {
  const scene = new Talkers();
  beforeAll(async () => {
    scene.server = await startUserServer();
    scene.alice = await register(scene.server.client, 'alice');
    scene.bob = await register(scene.server.client, 'bob');
  });
  afterAll(async () => scene.server[Symbol.asyncDispose]());
  return scene;
}
