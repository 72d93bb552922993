/**
 * Resolves a room that was split in two while everybody in it changed a member event on both sides: 50,000 conflicted
 * events, with power levels and kicks among them, from columns in memory. Run: `node test/bench/state-res.ts [members]`.
 */
import { authChecks } from '../../src/matrix/auth-checks.ts';
import type { AuthEvent } from '../../src/matrix/auth-types.ts';
import {
  type AuthRecord,
  type ConflictInput,
  type ResolutionSource,
  resolveConflicted,
  resolveConflictedInSlices,
} from '../../src/matrix/state-res/index.ts';
import { type EventDraft, makeEvent, rulesOf, testRoomId } from '../support/room-dag.ts';

const alice = '@alice:h1';
const moderator = (at: number): string => `@mod${at}:h1`;
const kickEvery = 100;
const levelsEvery = 1000;

/** An event table in columns, as the store has it; records are made when they are asked for. */
class Columns implements ResolutionSource {
  readonly roomId = testRoomId;
  readonly createNid = 1;
  readonly #types: string[] = [''];
  readonly #stateKeys: string[] = [''];
  readonly #senders: string[] = [''];
  readonly #memberships: (string | undefined)[] = [undefined];
  readonly #ts: number[] = [0];
  readonly #auth: number[] = [];
  readonly #authFrom: number[] = [0, 0];
  readonly #contents = new Map<number, EventDraft>();
  readonly #records = new Map<number, AuthRecord>();

  add(draft: EventDraft & { readonly membership?: string }, ts: number, auth: readonly number[]): number {
    const nid = this.#types.length;
    this.#types.push(draft.type);
    this.#stateKeys.push(draft.stateKey ?? '');
    this.#senders.push(draft.sender);
    this.#memberships.push(draft.membership);
    this.#ts.push(ts);
    this.#auth.push(...auth);
    this.#authFrom.push(this.#auth.length);
    if (draft.content !== undefined) this.#contents.set(nid, draft);
    return nid;
  }

  record(nid: number): AuthRecord | undefined {
    const known = this.#records.get(nid);
    if (known !== undefined) return known;
    const type = this.#types[nid];
    if (type === undefined || nid === 0) return undefined;
    const record: AuthRecord = {
      ...{ nid, type, eventId: `$${(nid * 2654435761) % 4294967296}-${nid}`, depth: nid, rejected: false },
      stateKey: this.#stateKeys[nid] ?? '',
      sender: this.#senders[nid] ?? '',
      membership: this.#memberships[nid],
      needsContent: false,
      originServerTs: this.#ts[nid] ?? 0,
      authNids: this.#auth.slice(this.#authFrom[nid], this.#authFrom[nid + 1]),
    };
    this.#records.set(nid, record);
    return record;
  }

  event(nid: number): AuthEvent | undefined {
    const draft = this.#contents.get(nid);
    const record = this.record(nid);
    if (record === undefined) return undefined;
    return makeEvent(
      nid === 1 ? '$create:h1' : record.eventId,
      draft ?? { ...record, content: { membership: 'join' } },
    );
  }
}

/** The split room: `members` joins, then on each of two sides one more member event of everybody. */
function splitRoom(version: string, members: number): ConflictInput {
  const table = new Columns();
  const rules = rulesOf(version);
  const mods = Array.from({ length: 10 }, (_, at) => [moderator(at), 50] as const);
  const users = { ...Object.fromEntries(mods), ...(rules.privilegedCreators ? {} : { [alice]: 100 }) };
  const create = table.add({ type: 'm.room.create', sender: alice, stateKey: '', content: { creator: alice } }, 0, []);
  const cited = rules.roomIdIsCreateHash ? [] : [create];
  const join = (user: string, ts: number, auth: number[]): number =>
    table.add({ type: 'm.room.member', sender: user, stateKey: user, membership: 'join' }, ts, [...cited, ...auth]);
  const founder = join(alice, 1, []);
  const state = (type: string, content: EventDraft['content'], ts: number, auth: number[]): number =>
    table.add({ type, sender: alice, stateKey: '', content: content ?? {} }, ts, [...cited, ...auth]);
  const firstLevels = state('m.room.power_levels', { users }, 2, [founder]);
  const joinRule = state('m.room.join_rules', { join_rule: 'public' }, 3, [founder, firstLevels]);
  const modJoins = mods.map(([user], at) => join(user, 4 + at, [firstLevels, joinRule]));
  const joins = Array.from({ length: members }, (_, at) =>
    join(`@user${at}:h${at % 50}`, 20 + at, [firstLevels, joinRule]),
  );
  const firstTs = 20 + members;
  const side = (offset: number): number[] => {
    let levels = firstLevels;
    const nids = joins.map((before, at) => {
      const user = `@user${at}:h${at % 50}`;
      const ts = firstTs + 2 * at + offset;
      if (at % levelsEvery === 0) {
        levels = state('m.room.power_levels', { users, events: { 'm.room.name': at % 50 } }, ts, [founder, levels]);
      }
      if (at % kickEvery !== offset) return join(user, ts, [levels, joinRule, before]);
      const by = ((at / kickEvery) % modJoins.length) | 0;
      const auth = [...cited, levels, modJoins[by] ?? 0, before];
      return table.add({ type: 'm.room.member', sender: moderator(by), stateKey: user, membership: 'leave' }, ts, auth);
    });
    return [...nids, levels];
  };
  const conflicted = [side(0), side(1)];
  const shared = new Map([
    ['m.room.create|', create],
    ['m.room.join_rules|', joinRule],
    [`m.room.member|${alice}`, founder],
    ...modJoins.map((nid, at): [string, number] => [`m.room.member|${moderator(at)}`, nid]),
  ]);
  const unconflicted = {
    get: (type: string, key: string) => shared.get(`${type}|${key}`),
    nids: () => [...shared.values()],
  };
  return { conflicted, unconflicted, source: table, rules, checks: authChecks };
}

const members = Number(process.argv[2] ?? 25_000);
for (const version of ['1', '11', '12']) {
  const times: number[] = [];
  let winners = 0;
  for (let run = 0; run < 3; run++) {
    const input = splitRoom(version, members);
    const start = performance.now();
    winners = resolveConflicted(input).length;
    times.push(performance.now() - start);
  }
  let longest = 0;
  const sliced = splitRoom(version, members);
  let last = performance.now();
  await resolveConflictedInSlices(sliced, () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
    return Promise.resolve();
  });
  const text = times.map((ms) => ms.toFixed(0)).join(', ');
  console.log(
    `version ${version}: ${2 * members} conflicted events, ${winners} winners, ${text} ms; longest slice ${longest.toFixed(0)} ms`,
  );
}
