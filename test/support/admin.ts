/** A server with an administrator, and what his tools ask. */
import type { Config } from '../../src/config/index.ts';
import type { UserId } from '../../src/matrix/ids.ts';
import type { TestResponse } from './http.ts';
import { register, startUserServer, type TestSession, type UserServer } from './userapi.ts';

export const enc = encodeURIComponent;
export const v1 = '/_synapse/admin/v1';
export const v2 = '/_synapse/admin/v2';

export interface AdminServer extends UserServer {
  readonly admin: TestSession;
  readonly alice: TestSession;
  /** A request of the administrator. */
  readonly ask: (method: string, path: string, body?: unknown) => Promise<TestResponse>;
}

export async function startAdminServer(config: Partial<Config> = {}): Promise<AdminServer> {
  const server = await startUserServer(config);
  const { client, db, users } = server;
  const admin = await register(client, 'admin');
  const alice = await register(client, 'alice');
  await db.write((tx) => users.accounts.setAdmin(tx, admin.userId as UserId, true));
  const ask = (method: string, path: string, body?: unknown): Promise<TestResponse> =>
    client.request(path, { method, token: admin.token, ...(body === undefined ? {} : { body }) });
  return { ...server, admin, alice, ask };
}

export const outcome = ({ status, json }: TestResponse): [number, string] => [status, json?.errcode];
