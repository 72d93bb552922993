/**
 * Our keys, others' keys with our word as a notary, and what software this is (S-S API v1.19 §Retrieving server keys,
 * §Server implementation).
 */
import * as v from 'valibot';
import type { KeyRing, OwnKeys } from '../../fedclient/index.ts';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseServerName } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Clock } from '../../util/clock.ts';

export interface KeyRouteParts {
  readonly ownKeys: OwnKeys;
  readonly keyRing: KeyRing;
  readonly version: string;
  readonly clock: Clock;
}

/** Servers in one question to us as a notary. */
const mostServers = 2000;
const mostAtOnce = 20;
/** After this, in ms, only what is known is told. */
const patienceMs = 15_000;

interface Question {
  readonly server: string;
  readonly keyIds: readonly string[];
  readonly minimumValidUntil: number;
}

const timestamp = v.pipe(v.number(), v.integer(), v.minValue(0));
const queryBody = v.object({
  server_keys: v.record(v.string(), v.record(v.string(), v.object({ minimum_valid_until_ts: v.optional(timestamp) }))),
});
const queryParameters = v.object({
  minimum_valid_until_ts: v.optional(v.pipe(v.string(), v.regex(/^\d{1,16}$/), v.transform(Number))),
});

/** The documents of a server with our signature beside its own; none when it cannot be asked and never was. */
async function answer(
  { ownKeys, keyRing }: KeyRouteParts,
  { server, keyIds, minimumValidUntil }: Question,
  mayFetch: boolean,
): Promise<JsonObject[]> {
  const name = parseServerName(server);
  if (name === undefined) return [];
  if (name === ownKeys.serverName) return [ownKeys.document()];
  const documents = await keyRing.documents(name, keyIds, minimumValidUntil, mayFetch);
  return documents.map((document) => ownKeys.countersign(document));
}

async function answerAll(parts: KeyRouteParts, questions: readonly Question[]): Promise<{ server_keys: JsonObject[] }> {
  if (questions.length > mostServers)
    throw matrixError.invalidParam(`Ask for at most ${mostServers} servers at a time`);
  const documents: JsonObject[] = [];
  const until = parts.clock.now() + patienceMs;
  for (let start = 0; start < questions.length; start += mostAtOnce) {
    const mayFetch = parts.clock.now() < until;
    const some = questions.slice(start, start + mostAtOnce).map((question) => answer(parts, question, mayFetch));
    documents.push(...(await Promise.all(some)).flat());
  }
  return { server_keys: documents };
}

export function keyServerRoutes(parts: KeyRouteParts): Route[] {
  const { ownKeys, version, clock } = parts;
  return [
    route({
      method: 'GET',
      path: '/_matrix/key/v2/server',
      // Removed from the specification, still asked for by old servers; the answer holds all keys anyway.
      aliases: ['/_matrix/key/v2/server/:keyId'],
      auth: 'none',
      rate: 'federation',
      handle: () => ownKeys.document(),
    }),
    route({
      method: 'GET',
      // The key id is removed from the specification, and still sent by old servers.
      path: '/_matrix/key/v2/query/:serverName/:keyId',
      aliases: ['/_matrix/key/v2/query/:serverName'],
      auth: 'none',
      rate: 'federation',
      query: queryParameters,
      handle: ({ params: { serverName: server, keyId }, query: { minimum_valid_until_ts: until } }) => {
        const keyIds = keyId === '' ? [] : [keyId];
        return answerAll(parts, [{ server, keyIds, minimumValidUntil: until ?? clock.now() }]);
      },
    }),
    route({
      method: 'POST',
      path: '/_matrix/key/v2/query',
      auth: 'none',
      rate: 'federation',
      body: queryBody,
      handle: ({ body }) =>
        answerAll(
          parts,
          Object.entries(body.server_keys).map(([server, keys]) => ({
            server,
            keyIds: Object.keys(keys),
            minimumValidUntil: Object.values(keys).reduce(
              (latest, { minimum_valid_until_ts: until }) => Math.max(latest, until ?? clock.now()),
              Object.keys(keys).length === 0 ? clock.now() : 0,
            ),
          })),
        ),
    }),
    route({
      method: 'GET',
      path: '/_matrix/federation/v1/version',
      auth: 'none',
      rate: 'none',
      handle: () => ({ server: { name: 'Neurite', version } }),
    }),
  ];
}
