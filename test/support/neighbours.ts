/** Whole servers that know each other while the tests of a file run, with their users, and a scripted server among them. */
import { afterAll, beforeAll } from '@jest/globals';
import type { Client } from './client.ts';
import { ScriptedServer } from './scripted-server.ts';
import { startServers, type FederatedServer, type ServersOptions } from './servers.ts';
import type { TestCa } from './tls.ts';

export interface Neighbours<Name extends string> {
  readonly server: (index: number) => FederatedServer;
  readonly user: (name: Name) => Client;
  /** The authority that the servers trust. */
  readonly ca: () => TestCa;
}

const startMs = 60_000;
const known = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new Error(`no such ${what} while no test runs`);
  return value;
};

/** @param home the users, and at which of the servers each is at home */
export function useNeighbours<Name extends string>(
  count: number,
  home: Readonly<Record<Name, number>>,
  options: ServersOptions = {},
): Neighbours<Name> {
  let [servers, ca]: [readonly FederatedServer[], TestCa?] = [[]];
  const users = new Map<string, Client>();
  const server = (index: number): FederatedServer => known(servers[index], 'server');
  beforeAll(async () => {
    ({ servers, ca } = await startServers(count, options));
    await Promise.all(
      Object.entries<number>(home).map(async ([name, index]) => users.set(name, await server(index).user(name))),
    );
  }, startMs);
  afterAll(async () => {
    for (const one of servers) await one[Symbol.asyncDispose]();
  });
  return { server, user: (name) => known(users.get(name), 'user'), ca: () => known(ca, 'authority') };
}

export interface Visited extends Pick<Neighbours<never>, 'server' | 'ca'> {
  /** The first of the servers. */
  readonly home: () => FederatedServer;
  /** A user of it. */
  readonly alice: () => Client;
  /** The scripted server. */
  readonly peer: () => ScriptedServer;
}

/** A server with alice on it, others where a `count` is given, and a scripted one that speaks with them. */
export function useVisited(options: ServersOptions = {}, count = 1): Visited {
  let peer: ScriptedServer | undefined;
  afterAll(async () => peer?.[Symbol.asyncDispose]());
  const { server, user, ca } = useNeighbours(count, { alice: 0 }, options);
  beforeAll(async () => {
    peer = await ScriptedServer.start(ca());
  }, startMs);
  return { server, ca, home: () => server(0), alice: () => user('alice'), peer: () => known(peer, 'server') };
}
