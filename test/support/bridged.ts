/** A whole server with one scripted application service. */
import type { Config } from '../../src/config/index.ts';
import {
  asToken,
  registrationFiles,
  registrationOf,
  startScriptedService,
  type ScriptedService,
} from './app-service.ts';
import { startUserServer, v3, type UserServer } from './userapi.ts';

export interface Bridged extends AsyncDisposable, Pick<UserServer, 'client' | 'clock'> {
  readonly service: ScriptedService;
}

/** A server with one application service. */
export async function startBridged(more: object = {}, config: Partial<Config> = {}): Promise<Bridged> {
  const service = await startScriptedService();
  const files = await registrationFiles(registrationOf(service.url, more));
  const server = await startUserServer({ appservices: files.files, ...config });
  const dispose = async (): Promise<void> => {
    await server[Symbol.asyncDispose]();
    await service[Symbol.asyncDispose]();
    await files[Symbol.asyncDispose]();
  };
  const { client, clock } = server;
  return { client, clock, service, [Symbol.asyncDispose]: dispose };
}

/** The query by which the service speaks for one of its users. */
export const as = (user: string): string => `user_id=${encodeURIComponent(user)}`;

export const ghost = '@_bridge_ann:localhost';
export const ghostBody = { type: 'm.login.application_service', username: '_bridge_ann' };

/** Registers the ghost. */
export async function makeGhost({ client }: Bridged): Promise<void> {
  const { status, text } = await client.post(`${v3}/register`, { ...ghostBody, inhibit_login: true }, asToken);
  if (status !== 200) throw new Error(text);
}
