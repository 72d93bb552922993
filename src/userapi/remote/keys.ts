/**
 * Keys of remote users for local ones (C-S API v1.19 §POST /keys/query, §POST /keys/claim): from lists that are followed,
 * else from their servers, each asked once however many wait, for a limited time. Servers that do not answer stand in
 * `failures`.
 */
import type { FedClient, FederationFault } from '../../fedclient/index.ts';
import { parseKeyId, parseUserId, serverNameOf, type ServerName, type UserId } from '../../matrix/ids.ts';
import { isJsonObject, memberOf, type JsonObject, type JsonValue } from '../../matrix/json.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import { err, type Result } from '../../util/result.ts';
import { checkedUserKeys, sharedUsages, type RemoteUserKeys, type SharedUsage } from './key-checks.ts';
import type { ListFetcher } from './list-fetcher.ts';
import type { RemoteLists } from './lists.ts';

export interface RemoteKeysParts {
  readonly db: Database;
  readonly lists: RemoteLists;
  readonly fetcher: ListFetcher;
  readonly federation: Pick<FedClient, 'api'>;
  readonly clock: Clock;
}

/** User id → device id → object. */
export type ByDevice = Record<string, Record<string, JsonObject>>;

export interface RemoteKeyAnswer {
  readonly devices: ByDevice;
  readonly signingKeys: Readonly<Record<SharedUsage, Record<string, JsonObject>>>;
  /** By server name. */
  readonly failures: Record<string, JsonObject>;
}

/** Users with their wished devices; an empty list: all. */
export type KeyWish = readonly (readonly [userId: UserId, devices: readonly string[]])[];

/** More lists of one server than this are asked for in one question, and fetched one by one afterwards. */
const maxFetched = 20;
/** Servers asked at a time for one client. */
const maxServers = 40;
/** A server that has not answered in this time does not hold up the others, in ms. */
const longestMs = 20_000;

export class RemoteKeys {
  readonly #parts: RemoteKeysParts;
  readonly #asking = new Map<string, Promise<Result<ReadonlyMap<UserId, RemoteUserKeys>, FederationFault>>>();

  constructor(parts: RemoteKeysParts) {
    this.#parts = parts;
  }

  /** Keys of remote users as `viewer` may see them. @param timeoutMs how long servers are waited for */
  async query(viewer: UserId, wish: KeyWish, timeoutMs: number): Promise<RemoteKeyAnswer> {
    const answer: RemoteKeyAnswer = { devices: {}, signingKeys: { master: {}, self_signing: {} }, failures: {} };
    const until = this.#parts.clock.now() + clamp(timeoutMs);
    await eachOf(byServer(wish), async ([server, users]) => {
      const found = await this.#limited(this.#ofServer(server, users), until - this.#parts.clock.now());
      if (!found.ok) answer.failures[server] = failureOf(found.error);
      else if (found.value.failed !== undefined) answer.failures[server] = failureOf(found.value.failed);
      const keys = found.ok ? found.value.keys : this.#known(users);
      this.#parts.db.read((snapshot) => {
        for (const [userId, only] of users) this.#show(snapshot, answer, viewer, userId, only, keys.get(userId));
      });
    });
    return answer;
  }

  /** Claims one-time keys: user id → device id → algorithm. */
  async claim(
    wish: Readonly<Record<string, Readonly<Record<string, string>>>>,
    timeoutMs: number,
  ): Promise<{ readonly keys: ByDevice; readonly failures: Record<string, JsonObject> }> {
    const keys: ByDevice = {};
    const failures: Record<string, JsonObject> = {};
    const users = Object.keys(wish).flatMap((name) => parseUserId(name) ?? []);
    const until = this.#parts.clock.now() + clamp(timeoutMs);
    await eachOf(byServer(users.map((userId) => [userId, []])), async ([server, ofServer]) => {
      const wanted = Object.fromEntries(ofServer.map(([userId]) => [userId, wish[userId] ?? {}]));
      const left = Math.max(1, until - this.#parts.clock.now());
      const answer = await this.#parts.federation.api.claimKeys(server, wanted, { timeoutMs: left });
      if (!answer.ok) failures[server] = failureOf(answer.error);
      else takeClaimed(keys, wanted, answer.value.one_time_keys);
    });
    return { keys, failures };
  }

  /** Fetches the lists of these users where they are followed and not here: what is verified next needs them. */
  async ensure(users: readonly UserId[], timeoutMs: number): Promise<void> {
    const { db, lists, fetcher } = this.#parts;
    const missing = db.read((snapshot) =>
      users.filter((userId) => !lists.isFresh(snapshot, userId) && lists.isShared(snapshot, userId)),
    );
    await Promise.all(missing.map((userId) => this.#limited(fetcher.fetch(userId), timeoutMs)));
  }

  async #ofServer(server: ServerName, users: KeyWish): Promise<Result<ServerKeys, FederationFault>> {
    const { db, lists, fetcher } = this.#parts;
    const keys = new Map<UserId, RemoteUserKeys>();
    const stale: UserId[] = [];
    const strangers: UserId[] = [];
    db.read((snapshot) => {
      for (const [userId] of users) {
        if (lists.isFresh(snapshot, userId)) keys.set(userId, lists.keys(snapshot, userId));
        else (lists.isShared(snapshot, userId) ? stale : strangers).push(userId);
      }
    });
    if (stale.length > maxFetched) {
      strangers.push(...stale);
      await db.write((tx) => {
        for (const userId of stale.splice(0)) lists.want(tx, userId, false);
      });
      fetcher.wake();
    }
    let failed: FederationFault | undefined;
    const asked = strangers.length === 0 ? undefined : this.#ask(server, strangers);
    for (const [userId, list] of await Promise.all(
      stale.map(async (user) => [user, await fetcher.fetch(user)] as const),
    )) {
      if (list.ok) keys.set(userId, list.value);
      else failed = list.error;
    }
    const answer = await asked;
    if (answer?.ok === false) failed = answer.error;
    if (answer?.ok === true) for (const [userId, found] of answer.value) keys.set(userId, found);
    return { ok: true, value: { keys, failed } };
  }

  /** `/user/keys/query`, the same question asked once at a time. */
  #ask(
    server: ServerName,
    users: readonly UserId[],
  ): Promise<Result<ReadonlyMap<UserId, RemoteUserKeys>, FederationFault>> {
    const question = JSON.stringify([server, [...users].sort()]);
    const known = this.#asking.get(question);
    if (known !== undefined) return known;
    const asking = this.#askServer(server, users).finally(() => this.#asking.delete(question));
    this.#asking.set(question, asking);
    return asking;
  }

  async #askServer(
    server: ServerName,
    users: readonly UserId[],
  ): Promise<Result<ReadonlyMap<UserId, RemoteUserKeys>, FederationFault>> {
    const wish = Object.fromEntries(users.map((userId) => [userId, []]));
    const answer = await this.#parts.federation.api.queryKeys(server, wish, { timeoutMs: longestMs });
    if (!answer.ok) return answer;
    const { device_keys: devices, master_keys: masters, self_signing_keys: selfSigning } = answer.value;
    const found = users.map((userId) => {
      const parts = [devices, masters, selfSigning].map((each) => memberOf(each, userId)) as [
        unknown,
        unknown,
        unknown,
      ];
      return [userId, checkedUserKeys(userId, ...parts)] as const;
    });
    return { ok: true, value: new Map(found) };
  }

  /** What is known without asking anyone. */
  #known(users: KeyWish): ReadonlyMap<UserId, RemoteUserKeys> {
    const { db, lists } = this.#parts;
    return db.read((snapshot) => {
      const fresh = users.map(([userId]) => userId).filter((userId) => lists.isFresh(snapshot, userId));
      return new Map(fresh.map((userId) => [userId, lists.keys(snapshot, userId)]));
    });
  }

  async #limited<T>(work: Promise<Result<T, FederationFault>>, timeoutMs: number): Promise<Result<T, FederationFault>> {
    const over = new AbortController();
    const late = this.#parts.clock
      .sleep(clamp(timeoutMs), over.signal)
      .then(() => err<FederationFault>({ kind: 'timeout', message: 'no answer in time' }));
    try {
      return await Promise.race([work, late]);
    } finally {
      over.abort();
    }
  }

  #show(
    snapshot: Snapshot,
    answer: RemoteKeyAnswer,
    viewer: UserId,
    userId: UserId,
    only: readonly string[],
    found: RemoteUserKeys | undefined,
  ): void {
    if (found === undefined) return;
    const devices: Record<string, JsonObject> = {};
    for (const { deviceId, displayName, keys } of found.devices) {
      if (keys === undefined || (only.length > 0 && !only.includes(deviceId))) continue;
      const unsigned: JsonObject = displayName === undefined ? {} : { device_display_name: displayName };
      devices[deviceId] = { ...keys, unsigned };
    }
    answer.devices[userId] = devices;
    for (const usage of sharedUsages) {
      const key = found.signingKeys[usage];
      if (key === undefined) continue;
      answer.signingKeys[usage][userId] = this.#parts.lists.withSignatureOf(snapshot, viewer, userId, key);
    }
  }
}

interface ServerKeys {
  readonly keys: ReadonlyMap<UserId, RemoteUserKeys>;
  readonly failed: FederationFault | undefined;
}

const clamp = (timeoutMs: number): number => Math.min(Math.max(timeoutMs, 0), longestMs);

/** One after another in a bounded number of lines: a big room has more servers than this one has connections to spare. */
async function eachOf<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items[Symbol.iterator]();
  const line = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: maxServers }, line));
}

function byServer(wish: KeyWish): Map<ServerName, (readonly [UserId, readonly string[]])[]> {
  const servers = new Map<ServerName, (readonly [UserId, readonly string[]])[]>();
  for (const each of wish) {
    const server = serverNameOf(each[0]);
    const list = servers.get(server);
    if (list === undefined) servers.set(server, [each]);
    else list.push(each);
  }
  return servers;
}

/** Only what was asked for: one key of the right algorithm for each device. */
function takeClaimed(
  into: ByDevice,
  wanted: Readonly<Record<string, Readonly<Record<string, string>>>>,
  claimed: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, JsonValue>>>>>>,
): void {
  for (const [userId, devices] of Object.entries(wanted)) {
    for (const [deviceId, algorithm] of Object.entries(devices)) {
      const keys = memberOf(memberOf(claimed, userId), deviceId);
      const key = isJsonObject(keys)
        ? Object.entries(keys).find(([name, value]) => isKeyOf(algorithm, name, value))
        : undefined;
      if (key !== undefined) (into[userId] ??= {})[deviceId] = { [key[0]]: key[1] };
    }
  }
}

const isKeyOf = (algorithm: string, name: string, value: JsonValue | undefined): boolean =>
  parseKeyId(name)?.algorithm === algorithm &&
  (typeof value === 'string' || typeof memberOf(value, 'key') === 'string');

function failureOf(fault: FederationFault): JsonObject {
  if (fault.kind === 'http') return { status: fault.status, errcode: fault.errcode, message: fault.message };
  return { status: 503, message: fault.message };
}
