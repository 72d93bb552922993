/** Tables of authorisation: a state, an event, and whether it is allowed from one room version to another. */
import { expect, test } from '@jest/globals';
import { authorise, authStateOf } from '../../src/matrix/event-auth.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type EventDraft, createId, makeEvent, member, rulesOf } from './room-dag.ts';

export const alice = '@alice:h1';
export const bob = '@bob:h2';
export const carol = '@carol:h3';
export const dave = '@dave:h2';

/** `lo-hi` or a single version. */
function versions(range: string): string[] {
  const [lo = '1', hi = lo] = range.split('-');
  return Array.from({ length: Number(hi) - Number(lo) + 1 }, (_, at) => String(Number(lo) + at));
}

export const create = (content: JsonObject = {}): EventDraft => ({
  type: 'm.room.create',
  sender: alice,
  stateKey: '',
  content: { creator: alice, ...content },
});
export const levels = (content: JsonObject, more: Partial<EventDraft> = {}): EventDraft => ({
  type: 'm.room.power_levels',
  sender: alice,
  stateKey: '',
  content,
  ...more,
});
export const joinRule = (rule: string): EventDraft => ({
  type: 'm.room.join_rules',
  sender: alice,
  stateKey: '',
  content: { join_rule: rule },
});
export const kick = (by: string, target: string): EventDraft => member(target, 'leave', { sender: by });
export const invite = (by: string, target: string, content: JsonObject = {}): EventDraft =>
  member(target, 'invite', { sender: by, content });
export const message = (sender: string): EventDraft => ({ type: 'm.room.message', sender });
export const joined = (...users: string[]): EventDraft[] => users.map((user) => member(user, 'join'));

/** Bob is moderator with 50, Carol a plain member; Alice is creator (and has 100 where that must be said). */
export const staffed = (more: JsonObject = {}, users: JsonObject = {}): EventDraft =>
  levels({ users: { [bob]: 50, ...users }, ...more });

/** Checks that accept the signature when the invite's key is `good`. */
const checks = { verifyThirdPartySigned: (_signed: JsonObject, keys: readonly string[]) => keys.includes('good') };

/** Whether the event is allowed after that state. */
function verdict(version: string, state: readonly EventDraft[], draft: EventDraft): boolean {
  const rules = rulesOf(version);
  const events: RoomEvent[] = state.map((entry, at) =>
    makeEvent(entry.type === 'm.room.create' ? createId : `$state${at}:h1`, entry),
  );
  return authorise(makeEvent('$event:h2', draft), authStateOf(events), rules, checks).allowed;
}

type Case = [title: string, range: string, state: readonly EventDraft[], event: EventDraft, allowed: boolean];

/** A test of each case in each of its versions. */
export function table(cases: readonly Case[]): void {
  for (const [title, range, state, event, allowed] of cases) {
    test.each(versions(range))(`${title}: ${allowed ? 'allowed' : 'rejected'} in version %s`, (version) => {
      expect(verdict(version, state, event)).toBe(allowed);
    });
  }
}
