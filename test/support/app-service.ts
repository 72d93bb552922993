/** A scripted application service on loopback, and registration files for it. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';

/** An event, a message to a device or something ephemeral, as it stands in a transaction. */
export interface ReceivedEvent {
  readonly type: string;
  readonly event_id: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** The body of a transaction, in the words of the specification and of the drafts that bridges ask for. */
export interface Transaction {
  readonly events: readonly ReceivedEvent[];
  readonly ephemeral?: readonly ReceivedEvent[];
  readonly 'de.sorunome.msc2409.to_device'?: readonly ReceivedEvent[];
  readonly 'org.matrix.msc3202.device_one_time_keys_count'?: Readonly<Record<string, unknown>>;
}

export interface ReceivedRequest {
  readonly method: string;
  /** Decoded, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
  /** The body as it came. */
  readonly text: string;
  readonly json: unknown;
}

/** What to answer; undefined: 200 `{}` for transactions, 404 for anything else. */
export type Script = (request: ReceivedRequest) => Answer | undefined | Promise<Answer | undefined>;
export interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

export interface ScriptedService extends AsyncDisposable {
  readonly url: string;
  /** Every request so far. */
  readonly requests: ReceivedRequest[];
  /** Bodies of transactions that were answered with 200. */
  readonly taken: Transaction[];
  script: Script;
  /** Resolves once `condition` holds for what was received; checked with every request. */
  until(condition: (service: ScriptedService) => boolean): Promise<void>;
}

/** Starts it; a `port` may be given, for one that comes back. */
export async function startScriptedService(port = 0): Promise<ScriptedService> {
  const waiting = new Set<() => void>();
  const service = {
    requests: [] as ReceivedRequest[],
    taken: [] as Transaction[],
    script: (() => undefined) as Script,
  };
  const server = createServer((incoming, outgoing) => {
    void answer(service, incoming, outgoing).then(() => {
      for (const check of waiting) check();
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const scripted = Object.assign(service, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    until: (condition: (of: ScriptedService) => boolean) =>
      new Promise<void>((resolve) => {
        const check = (): void => {
          if (!condition(scripted)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  }) as ScriptedService;
  return scripted;
}

async function answer(
  service: { requests: ReceivedRequest[]; taken: Transaction[]; script: Script },
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const url = new URL(incoming.url ?? '/', 'http://localhost');
  const text = Buffer.concat(chunks).toString();
  const request: ReceivedRequest = {
    method: incoming.method ?? '',
    path: decodeURIComponent(url.pathname),
    query: url.searchParams,
    authorization: incoming.headers.authorization,
    text,
    json: text === '' ? undefined : JSON.parse(text),
  };
  service.requests.push(request);
  const isTransaction = request.path.includes('/transactions/');
  const scripted = await service.script(request);
  const { status, body = {} } = scripted ?? { status: isTransaction ? 200 : 404, body: { errcode: 'M_NOT_FOUND' } };
  if (isTransaction && status === 200) service.taken.push(request.json as Transaction);
  outgoing.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

/** A registration with `@_bridge_…` and `#_bridge_…` as its exclusive namespaces, unless `more` says otherwise. */
export const registrationOf = (url: string | null, more: object = {}): Record<string, unknown> => ({
  id: 'bridge',
  url,
  as_token: 'as`token|{~}\\^_',
  hs_token: 'hs"token',
  sender_localpart: 'bridgebot',
  namespaces: {
    users: [{ exclusive: true, regex: '@_bridge_.*:localhost' }],
    aliases: [{ exclusive: true, regex: '#_bridge_.*:localhost' }],
    rooms: [],
  },
  rate_limited: false,
  ...more,
});

export const asToken = 'as`token|{~}\\^_';

/** Writes registration files; their folder goes when disposed. */
export async function registrationFiles(
  ...registrations: readonly unknown[]
): Promise<AsyncDisposable & { readonly files: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'neurite-appservice-'));
  const files = await Promise.all(
    registrations.map(async (registration, index) => {
      const file = join(folder, `${index}.yaml`);
      await writeFile(file, typeof registration === 'string' ? registration : stringify(registration));
      return file;
    }),
  );
  return { files, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
