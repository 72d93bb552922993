/**
 * Holds replies against the specification's own response schemas (test/golden/operations.json): every test client calls
 * `checkReply`, so each reply that any test asks for is validated.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';

export interface Operation {
  readonly api: 'cs' | 'ss';
  readonly method: string;
  /** With `{name}` parameters. */
  readonly path: string;
  readonly auth: string;
  readonly guest: string;
  readonly rateLimited: boolean;
  readonly deprecated: boolean;
  /** By status. */
  readonly responses: Readonly<Record<string, object>>;
}

const golden = JSON.parse(readFileSync(join(import.meta.dirname, '../golden/operations.json'), 'utf8')) as {
  readonly operations: readonly Operation[];
  readonly $defs: object;
};

/** Every operation of the client-server and server-server APIs. */
export const operations: readonly Operation[] = golden.operations;

interface Matched {
  readonly operation: Operation;
  readonly pattern: RegExp;
  readonly validators: Map<string, ValidateFunction>;
}

const matchers: readonly Matched[] = operations.map((operation) => ({
  operation,
  pattern: new RegExp(`^${operation.path.replaceAll(/[.]/g, '\\.').replaceAll(/\{[^}]+\}/g, '[^/]+')}/?$`),
  validators: new Map(),
}));

/** Who has no valid token is told so before anything else is asked of him (C-S API §Client Authentication, §Account locking). */
const isTokenFault = (status: number, body: unknown): boolean =>
  status === 401 &&
  /^M_(MISSING_TOKEN|UNKNOWN_TOKEN|USER_LOCKED)$/.test(String((body as { errcode?: unknown } | undefined)?.errcode));

/**
 * The old event stream carries ephemeral events, presence and account data beside the events of rooms: only type, content
 * and, of some, room or sender. Its schema speaks of the others alone.
 */
const isPassing = (event: object): boolean =>
  'type' in event &&
  'content' in event &&
  Object.keys(event).every((key) => /^(type|content|room_id|sender)$/.test(key));

/** Unset names of joined members: clients and the suites look for the keys, and the schema has no word for "not set". */
const withoutNulls = (body: unknown): unknown =>
  JSON.parse(JSON.stringify(body, (_key, value: unknown) => (value === null ? undefined : value)));

/** The part of a body that its schema speaks of. */
function specified(path: string, body: unknown): unknown {
  if (path.endsWith('/joined_members')) return withoutNulls(body);
  const chunk = path === '/_matrix/client/v3/events' ? (body as { readonly chunk?: unknown }).chunk : undefined;
  if (!Array.isArray(chunk)) return body;
  return { ...(body as object), chunk: chunk.filter((event: object) => !isPassing(event)) };
}

let ajv: Ajv2020 | undefined;

/** @throws Error naming every fault when the reply is not what the specification says */
export function checkReply(method: string, path: string, status: number, body: unknown): void {
  const [plain = ''] = path.split('?');
  const stable = plain.replace(/^\/_matrix\/(client|media)\/r0\//, '/_matrix/$1/v3/');
  const matched = matchers.find(({ operation, pattern }) => operation.method === method && pattern.test(stable));
  const schema = matched?.operation.responses[String(status)];
  if (matched === undefined || schema === undefined) return;
  if (isTokenFault(status, body)) return;
  let validate = matched.validators.get(String(status));
  if (validate === undefined) {
    ajv ??= new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    validate = ajv.compile({ ...schema, $defs: golden.$defs });
    matched.validators.set(String(status), validate);
  }
  if (validate(specified(matched.operation.path, body))) return;
  const faults = (validate.errors ?? []).slice(0, 8).map((fault) => `${fault.instancePath} ${fault.message ?? ''}`);
  throw new Error(
    `${method} ${plain} ${status} is not as specified: ${faults.join('; ')}\n${JSON.stringify(body)?.slice(0, 600)}`,
  );
}
