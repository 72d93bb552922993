/** A small client for tests that speak to a real server over HTTP. */
import { Agent, request } from 'node:http';
import { checkReply } from './reply-check.ts';

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

export interface Session {
  readonly userId: string;
  readonly deviceId: string;
  readonly token: string;
}

const v3 = '/_matrix/client/v3';

export class Client {
  readonly #base: URL;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1000 });
  readonly #session: Session | undefined;
  /** Whether each reply is held against the specification; a bench leaves it out. */
  checks = true;

  constructor(baseUrl: string, session?: Session) {
    this.#base = new URL(baseUrl);
    this.#session = session;
  }

  get userId(): string {
    return this.#session?.userId ?? '';
  }

  get token(): string {
    return this.#session?.token ?? '';
  }

  /** Rejects only when no whole answer came. */
  ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          agent: this.#agent,
          host: this.#base.hostname,
          port: this.#base.port,
          method,
          path,
          headers: {
            ...(this.#session === undefined ? {} : { Authorization: `Bearer ${this.#session.token}` }),
            ...(text === undefined
              ? {}
              : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            if (!incoming.complete) return reject(new Error('the answer broke off'));
            const answer = Buffer.concat(chunks).toString();
            const status = incoming.statusCode ?? 0;
            const parsed = JSON.parse(answer) as Record<string, unknown>;
            if (this.checks) checkReply(method, path, status, parsed);
            resolve({ status, body: parsed });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }

  /** As `ask`, for what must succeed. */
  async must(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.ask(method, path, body);
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  send(roomId: string, transaction: string, text: string): Promise<Answer> {
    const path = `${v3}/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${transaction}`;
    return this.ask('PUT', path, { msgtype: 'm.text', body: text });
  }

  async createRoom(options: Record<string, unknown> = { preset: 'public_chat' }): Promise<string> {
    return (await this.must('POST', `${v3}/createRoom`, options))['room_id'] as string;
  }

  async join(roomId: string): Promise<void> {
    await this.must('POST', `${v3}/join/${encodeURIComponent(roomId)}`, {});
  }

  sync(since: string | undefined, timeoutMs: number, filter?: unknown): Promise<SyncAnswer> {
    const query = new URLSearchParams({ timeout: String(timeoutMs) });
    if (since !== undefined) query.set('since', since);
    if (filter !== undefined) query.set('filter', JSON.stringify(filter));
    return this.must('GET', `${v3}/sync?${query}`) as unknown as Promise<SyncAnswer>;
  }

  /** Every event of the room that the user may see, oldest first. */
  async history(roomId: string): Promise<ClientEvent[]> {
    const events: ClientEvent[] = [];
    let from: string | undefined;
    for (;;) {
      const query = new URLSearchParams({ dir: 'b', limit: '1000', ...(from === undefined ? {} : { from }) });
      const page = await this.must('GET', `${v3}/rooms/${encodeURIComponent(roomId)}/messages?${query}`);
      events.push(...(page['chunk'] as ClientEvent[]));
      from = page['end'] as string | undefined;
      if (from === undefined) return events.reverse();
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

export interface ClientEvent {
  readonly event_id: string;
  readonly type: string;
  readonly sender: string;
  readonly content: Record<string, unknown>;
}

export interface SyncAnswer {
  readonly next_batch: string;
  readonly rooms?: {
    readonly join?: Record<
      string,
      { readonly timeline?: { readonly events: ClientEvent[]; readonly limited?: boolean } }
    >;
  };
}

/** Registers an account on a server with open registration. */
export async function registerAccount(baseUrl: string, username: string): Promise<Client> {
  const anonymous = new Client(baseUrl);
  const body = await anonymous.must('POST', `${v3}/register`, {
    username,
    password: 'a password for tests',
    auth: { type: 'm.login.dummy' },
  });
  anonymous.close();
  return new Client(baseUrl, {
    userId: body['user_id'] as string,
    deviceId: body['device_id'] as string,
    token: body['access_token'] as string,
  });
}
