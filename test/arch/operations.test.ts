/** The specification's operations against the rows that are served (DESIGN §9). */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadConfig } from '../../src/config/index.ts';
import type { Route } from '../../src/http/index.ts';
import { buildModules } from '../../src/modules.ts';
import { allRoutes } from '../../src/routes.ts';
import { systemClock } from '../../src/util/clock.ts';
import { Lifecycle } from '../../src/util/lifecycle.ts';
import { createLogger } from '../../src/util/log.ts';
import { operations, type Operation } from '../support/reply-check.ts';
import { temporaryFolder } from '../support/server-process.ts';

const folder = temporaryFolder();
const lifecycle = new Lifecycle(createLogger({ level: 'silent', format: 'json' }));
let rows: Map<string, Route>;
const shape = (path: string): string => path.replaceAll(/:[A-Za-z]+/g, '{}').replaceAll(/\{[^}]*\}/g, '{}');

beforeAll(() => {
  const loaded = loadConfig({ env: {}, sets: [`data_dir=${folder}`] });
  if (!loaded.ok) throw new Error('the default configuration does not load');
  const log = createLogger({ level: 'silent', format: 'json' });
  const routes = allRoutes(buildModules(loaded.value, systemClock, log, lifecycle));
  rows = new Map(
    routes.flatMap((row) => [row.path, ...row.aliases].map((path) => [`${row.method} ${shape(path)}`, row])),
  );
});
afterAll(async () => {
  await lifecycle.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Whether a row is open, to whom, and limited. A token that may be left out is looked at or not: both are open. */
const told = (row: Route): Declared => ({
  isOpen: row.auth === 'none' || row.auth === 'optional',
  guests: row.auth === 'guest',
  rateLimited: row.rate !== 'none',
});

interface Declared {
  readonly isOpen: boolean;
  readonly guests: boolean;
  readonly rateLimited: boolean;
}

const declared = ({ auth, guest, rateLimited }: Operation): Declared => {
  const isOpen = auth === 'none' || auth === 'access_token(optional)';
  // Guests may set their display name: the row is open to them, and its handler refuses the other fields.
  return { isOpen, guests: !isOpen && (guest === 'yes' || guest === 'displayname only'), rateLimited };
};

/** Clients of guests join by id on this path too; its handler refuses aliases. */
const guestsToo: ReadonlySet<string> = new Set(['POST /_matrix/client/v3/join/{roomIdOrAlias}']);

const client = operations.filter(({ api }) => api === 'cs');

/**
 * Limited here though the specification does not say so: who sends events, messages to devices or keys without a limit
 * could fill every disk in the room, and who has mails sent every mailbox.
 */
const limitedToo =
  /\/(send|redact|state|sendToDevice|kick|ban|unban|upgrade|createRoom|keys|profile|directory|pushers|search|requestToken)\b/;

describe('every operation of the Client-Server API is served as declared', () => {
  test.each(client.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
    '%s',
    (name, operation) => {
      const row = rows.get(shape(name));
      if (row === undefined) throw new Error('no row serves this operation');
      const wanted = declared(operation);
      const rateLimited = wanted.rateLimited || (limitedToo.test(operation.path) && row.rate !== 'none');
      expect(told(row)).toEqual({ ...wanted, guests: wanted.guests || guestsToo.has(name), rateLimited });
    },
  );
});

const server = operations.filter(({ api, path }) => api === 'ss' && path !== '/_matrix/policy/v1/sign');

describe('every operation of the Server-Server API is served to whom it is declared for', () => {
  test.each(server.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
    '%s',
    (name, { auth, rateLimited }) => {
      const row = rows.get(shape(name));
      if (row === undefined) throw new Error('it is not served');
      expect(row.auth).toBe(auth === 'x-matrix' ? 'server' : 'none');
      expect(row.resources).toContain('federation');
      // Whoever signs its requests is limited by its name.
      if (rateLimited || row.auth === 'server') expect(row.rate).not.toBe('none');
    },
  );
});
