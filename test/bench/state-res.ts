/**
 * Resolves a room that was split in two while everybody in it changed a member event on both sides: 50,000 conflicted
 * events, with power levels and kicks among them, from columns in memory. Run: `node test/bench/state-res.ts [members]`;
 * with `--synapse PYTHON` (a Python that has matrix-synapse) Synapse's own resolver gets the very same events, its
 * processor time is set in relation, and its result compared event for event.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { authChecks } from '../../src/matrix/auth-checks.ts';
import type { AuthEvent } from '../../src/matrix/auth-types.ts';
import {
  type AuthRecord,
  type ConflictInput,
  type ResolutionSource,
  type Winners,
  resolveConflicted,
  resolveConflictedInSlices,
} from '../../src/matrix/state-res/index.ts';
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import type { RoomId } from '../../src/matrix/ids.ts';
import { eventIdOf, type Pdu } from '../../src/matrix/pdu.ts';
import type { RoomVersionRules } from '../../src/matrix/room-versions.ts';
import { type EventDraft, makeEvent, rulesOf, testRoomId } from '../support/room-dag.ts';
import { median } from './load/rows.ts';

const rounds = 5;
const alice = '@alice:h1';
const moderator = (at: number): string => `@mod${at}:h1`;
const kickEvery = 100;
const levelsEvery = 1000;

/** An event table in columns, as the store has it; records are made when they are asked for. */
class Columns implements ResolutionSource {
  readonly createNid = 1;
  readonly rules: RoomVersionRules;
  roomId = testRoomId as RoomId;
  readonly #ids: string[] = [''];
  readonly #types: string[] = [''];
  readonly #stateKeys: string[] = [''];
  readonly #senders: string[] = [''];
  readonly #memberships: (string | undefined)[] = [undefined];
  readonly #ts: number[] = [0];
  readonly #auth: number[] = [];
  readonly #authFrom: number[] = [0, 0];
  readonly #contents = new Map<number, EventDraft>();
  #records = new Map<number, AuthRecord>();

  constructor(rules: RoomVersionRules) {
    this.rules = rules;
  }

  get last(): number {
    return this.#types.length - 1;
  }

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
    const isNamed = this.rules.eventIdFormat === 'field';
    this.#ids.push(isNamed ? `$${(nid * 2654435761) % 4294967296}-${nid}` : eventIdOf(this.pdu(nid), this.rules));
    if (nid === this.createNid && this.rules.roomIdIsCreateHash) this.roomId = `!${this.id(nid).slice(1)}` as RoomId;
    return nid;
  }

  id(nid: number): string {
    return this.#ids[nid] ?? '';
  }

  /** As another server would get it, but for its hash and its signatures, which no resolution looks at. */
  pdu(nid: number): Pdu {
    const { type = '', content = {} } = this.event(nid) ?? {};
    const isCreate = nid === this.createNid;
    return {
      ...(isCreate && this.rules.roomIdIsCreateHash ? {} : { room_id: this.roomId }),
      ...{ type, content, sender: this.#senders[nid] ?? '', state_key: this.#stateKeys[nid] ?? '' },
      ...{ depth: nid, origin_server_ts: this.#ts[nid] ?? 0, prev_events: [], hashes: { sha256: '' }, signatures: {} },
      auth_events: this.#authOf(nid).map((cited) => this.id(cited)),
    };
  }

  /** Lets every record be made anew. */
  cool(): void {
    this.#records = new Map();
  }

  record(nid: number): AuthRecord | undefined {
    const known = this.#records.get(nid);
    if (known !== undefined) return known;
    const type = this.#types[nid];
    if (type === undefined || nid === 0) return undefined;
    const record: AuthRecord = {
      ...{ nid, type, eventId: this.id(nid), depth: nid, rejected: false },
      stateKey: this.#stateKeys[nid] ?? '',
      sender: this.#senders[nid] ?? '',
      membership: this.#memberships[nid],
      needsContent: false,
      originServerTs: this.#ts[nid] ?? 0,
      authNids: this.#authOf(nid),
    };
    this.#records.set(nid, record);
    return record;
  }

  event(nid: number): AuthEvent | undefined {
    const [type, sender] = [this.#types[nid], this.#senders[nid]];
    if (type === undefined || sender === undefined || nid === 0) return undefined;
    const stateKey = this.#stateKeys[nid] ?? '';
    const bare = { type, sender, stateKey, content: { membership: this.#memberships[nid] ?? '' } };
    return makeEvent(this.id(nid), { ...(this.#contents.get(nid) ?? bare), roomId: this.roomId });
  }

  #authOf(nid: number): number[] {
    return this.#auth.slice(this.#authFrom[nid], this.#authFrom[nid + 1]);
  }
}

interface SplitRoom {
  readonly input: ConflictInput;
  readonly table: Columns;
  /** The two whole states. */
  readonly sets: readonly (readonly number[])[];
}

/** The split room: `members` joins, then on each of two sides one more member event of everybody. */
function splitRoom(version: string, members: number): SplitRoom {
  const rules = rulesOf(version);
  const table = new Columns(rules);
  const mods = Array.from({ length: 10 }, (_, at) => [moderator(at), 50] as const);
  const users = { ...Object.fromEntries(mods), ...(rules.privilegedCreators ? {} : { [alice]: 100 }) };
  const create = table.add(
    { type: 'm.room.create', sender: alice, stateKey: '', content: { creator: alice, room_version: version } },
    0,
    [],
  );
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
    ['m.room.create', new Map([['', create]])],
    ['m.room.join_rules', new Map([['', joinRule]])],
    ['m.room.member', new Map([[alice, founder], ...modJoins.map((nid, at) => [moderator(at), nid] as const)])],
  ]);
  const sharedNids = [...shared.values()].flatMap((keys) => [...keys.values()]);
  const unconflicted = {
    get: (type: string, key: string) => shared.get(type)?.get(key),
    nids: () => sharedNids,
  };
  const input = { conflicted, unconflicted, source: table, rules, checks: authChecks };
  return { input, table, sets: conflicted.map((side) => [...sharedNids, ...side]) };
}

interface SynapseRun {
  /** Processor time of the resolver in each round, and what the driver's own store took besides. */
  readonly ms: readonly number[];
  readonly storeMs: readonly number[];
  readonly state: readonly (readonly [type: string, stateKey: string, eventId: string])[];
}

function resolveWithSynapse(python: string, version: string, { table, sets }: SplitRoom): SynapseRun {
  const head = { version, room: table.roomId, sets: sets.map((set) => set.map((nid) => table.id(nid))) };
  const lines = [JSON.stringify(head)];
  for (let nid = 1; nid <= table.last; nid++)
    lines.push(`{"id":"${table.id(nid)}","pdu":${canonicalJson(table.pdu(nid))}}`);
  const driver = new URL('synapse-resolve.py', import.meta.url).pathname;
  const options = { input: lines.join('\n'), maxBuffer: 1024 ** 3, encoding: 'utf8' } as const;
  const answer = execFileSync(python, [driver, String(rounds)], options)
    .trim()
    .split('\n');
  const times = answer.slice(0, rounds).map((line) => JSON.parse(line) as { ms: number; storeMs: number });
  return {
    ms: times.map(({ ms }) => ms),
    storeMs: times.map(({ storeMs }) => storeMs),
    state: JSON.parse(answer[rounds] ?? '[]') as SynapseRun['state'],
  };
}

/** Tuples on which two states differ. */
function differences({ input, table }: SplitRoom, winners: Winners, { state }: SynapseRun): string[] {
  const own = new Map<string, string>();
  for (const nid of [...Array.from(input.unconflicted.nids()), ...winners.map((winner) => winner.nid)]) {
    const event = table.record(nid);
    if (event !== undefined) own.set(`${event.type}|${event.stateKey}`, event.eventId);
  }
  const theirs = new Map(state.map(([type, key, id]) => [`${type}|${key}`, id]));
  return [...new Set([...own.keys(), ...theirs.keys()])].filter((tuple) => own.get(tuple) !== theirs.get(tuple));
}

const asText = (times: readonly number[]): string => times.map((ms) => ms.toFixed(0)).join(', ');

const { values, positionals } = parseArgs({ allowPositionals: true, options: { synapse: { type: 'string' } } });
const members = Number(positionals[0] ?? 25_000);
for (const version of ['1', '11', '12']) {
  const [times, cpuTimes]: [number[], number[]] = [[], []];
  const room = splitRoom(version, members);
  let winners: Winners = [];
  for (let run = 0; run < rounds; run++) {
    room.table.cool();
    const [start, cpu] = [performance.now(), process.cpuUsage()];
    winners = resolveConflicted(room.input);
    times.push(performance.now() - start);
    const { user, system } = process.cpuUsage(cpu);
    cpuTimes.push((user + system) / 1000);
  }
  let longest = 0;
  room.table.cool();
  let last = performance.now();
  await resolveConflictedInSlices(room.input, () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
    return Promise.resolve();
  });
  console.log(
    `version ${version}: ${2 * members} conflicted events, ${winners.length} winners, ${asText(times)} ms; longest slice ${longest.toFixed(0)} ms`,
  );
  if (values.synapse === undefined || room.input.rules.stateResolution === 'v1') continue;
  const synapse = resolveWithSynapse(values.synapse, version, room);
  const different = differences(room, winners, synapse);
  if (different.length > 0) throw new Error(`${different.length} differ: ${different.slice(0, 5).join(', ')}`);
  // Both have to find the auth difference: Synapse in its store, which here has all in memory too.
  const [own, theirs] = [median(cpuTimes), median(synapse.ms.map((ms, run) => ms + (synapse.storeMs[run] ?? 0)))];
  console.log(
    `  processor time ${asText(cpuTimes)} ms; of Synapse ${asText(synapse.ms)} and for the auth difference ` +
      `${asText(synapse.storeMs)}: ${(theirs / own).toFixed(1)} times as much (goal 8); the same state of ${synapse.state.length}`,
  );
}
