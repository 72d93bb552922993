/** One request's context: what the kernel has checked, as the handler sees it. */
import type { IncomingMessage } from 'node:http';
import type { ServerName } from '../matrix/ids.ts';
import type { Database, Shown } from '../storage/index.ts';
import type { Query } from './auth-kinds.ts';
import type { AuthKind, RequestContext, Requester, TransactionRecord } from './route.ts';
import { BodyStream } from './stream.ts';

/** The contexts whose signal somebody holds, to be aborted when the server stops. */
export class OpenSignals {
  readonly #open = new Set<AbortController>();

  add(controller: AbortController): void {
    this.#open.add(controller);
  }

  delete(controller: AbortController): void {
    this.#open.delete(controller);
  }

  abortAll(): void {
    for (const controller of this.#open) controller.abort();
  }
}

export interface ContextFields {
  readonly requester: Requester | undefined;
  readonly origin: ServerName | undefined;
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  readonly address: string;
  readonly userAgent: string;
  readonly accessToken: string | undefined;
  readonly bodyText: string;
  readonly request: IncomingMessage;
}

export class Context implements RequestContext<AuthKind, unknown, unknown, unknown> {
  readonly requester: Requester & undefined;
  readonly origin: ServerName & undefined;
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  readonly address: string;
  readonly userAgent: string;
  readonly accessToken: string | undefined;
  readonly bodyText: string;
  transaction: TransactionRecord | undefined;
  readonly shown: Shown;
  readonly #open: OpenSignals;
  readonly #request: IncomingMessage;
  readonly #onGone: (listener: () => void) => void;
  #controller: AbortController | undefined;

  /** @param onGone calls its listener when the client has closed the connection before its answer was written. */
  constructor(fields: ContextFields, db: Database, open: OpenSignals, onGone: (listener: () => void) => void) {
    // The row's own type says whether there is one: its auth kind was checked before.
    this.requester = fields.requester as Requester & undefined;
    this.origin = fields.origin as ServerName & undefined;
    this.params = fields.params;
    this.query = fields.query;
    this.body = fields.body;
    this.address = fields.address;
    this.userAgent = fields.userAgent;
    this.accessToken = fields.accessToken;
    this.bodyText = fields.bodyText;
    this.shown = db.shown();
    this.#request = fields.request;
    this.#open = open;
    this.#onGone = onGone;
  }

  get stream(): BodyStream {
    return new BodyStream(this.#request);
  }

  /** Made on first use: most requests end without anyone asking. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      this.#open.add(controller);
      this.#onGone(() => controller.abort());
    }
    return this.#controller.signal;
  }

  /** To be called when the request has ended. */
  end(): void {
    if (this.#controller !== undefined) this.#open.delete(this.#controller);
  }
}

/** A URL as it came, split; the query's repeated keys become arrays. */
export function splitUrl(request: IncomingMessage): { path: string; query: Query } {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  if (mark === -1) return { path, query: noQuery };
  const query: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (const [key, value] of new URLSearchParams(url.slice(mark + 1))) {
    const earlier = query[key];
    if (earlier === undefined) query[key] = value;
    else if (typeof earlier === 'string') query[key] = [earlier, value];
    else earlier.push(value);
  }
  return { path, query };
}

const noQuery: Query = Object.freeze(Object.create(null) as Record<string, string>);

export const userAgentOf = (request: IncomingMessage): string => (request.headers['user-agent'] ?? '').slice(0, 255);
