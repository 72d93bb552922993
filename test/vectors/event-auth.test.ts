import { describe, expect, test } from '@jest/globals';
import { authorise, authStateOf, checkAuthEvents } from '../../src/matrix/event-auth.ts';
import { authTypesFor } from '../../src/matrix/auth-types.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type EventDraft, createId, makeEvent, member, rulesOf } from '../support/room-dag.ts';

const alice = '@alice:h1';
const bob = '@bob:h2';
const carol = '@carol:h3';
const dave = '@dave:h2';

/** `lo-hi` or a single version. */
function versions(range: string): string[] {
  const [lo = '1', hi = lo] = range.split('-');
  return Array.from({ length: Number(hi) - Number(lo) + 1 }, (_, at) => String(Number(lo) + at));
}

const create = (content: JsonObject = {}): EventDraft => ({
  type: 'm.room.create',
  sender: alice,
  stateKey: '',
  content: { creator: alice, ...content },
});
const levels = (content: JsonObject, more: Partial<EventDraft> = {}): EventDraft => ({
  type: 'm.room.power_levels',
  sender: alice,
  stateKey: '',
  content,
  ...more,
});
const joinRule = (rule: string): EventDraft => ({
  type: 'm.room.join_rules',
  sender: alice,
  stateKey: '',
  content: { join_rule: rule },
});
const kick = (by: string, target: string): EventDraft => member(target, 'leave', { sender: by });
const ban = (by: string, target: string): EventDraft => member(target, 'ban', { sender: by });
const invite = (by: string, target: string, content: JsonObject = {}): EventDraft =>
  member(target, 'invite', { sender: by, content });
const topic = (sender: string): EventDraft => ({ type: 'm.room.topic', sender, stateKey: '', content: { topic: 't' } });
const message = (sender: string): EventDraft => ({ type: 'm.room.message', sender });

const joined = (...users: string[]): EventDraft[] => users.map((user) => member(user, 'join'));
/** Bob is moderator with 50, Carol a plain member; Alice is creator (and has 100 where that must be said). */
const staffed = (more: JsonObject = {}, users: JsonObject = {}): EventDraft =>
  levels({ users: { [bob]: 50, ...users }, ...more });
const withAlice = { [alice]: 100 };

/** Checks that accept the signature when the invite's key is `good`. */
const checks = { verifyThirdPartySigned: (_signed: JsonObject, keys: readonly string[]) => keys.includes('good') };

function verdict(version: string, state: readonly EventDraft[], draft: EventDraft): boolean {
  const rules = rulesOf(version);
  const events: RoomEvent[] = state.map((entry, at) =>
    makeEvent(entry.type === 'm.room.create' ? createId : `$state${at}:h1`, entry),
  );
  return authorise(makeEvent('$event:h2', draft), authStateOf(events), rules, checks).allowed;
}

type Case = [title: string, range: string, state: readonly EventDraft[], event: EventDraft, allowed: boolean];

function table(cases: readonly Case[]): void {
  for (const [title, range, state, event, allowed] of cases) {
    test.each(versions(range))(`${title}: ${allowed ? 'allowed' : 'rejected'} in version %s`, (version) => {
      expect(verdict(version, state, event)).toBe(allowed);
    });
  }
}

describe('create events', () => {
  const first = create();
  table([
    ['a plain create event', '1-12', [], first, true],
    ['with prev_events', '1-12', [], { ...first, prev: ['$x:h1'] }, false],
    ["in a room of another server than the sender's", '1-11', [], { ...first, sender: bob }, false],
    ['with a room_id of its own', '12', [], { ...first, topLevel: { room_id: '!x' } }, false],
    ['with an unknown room version', '1-12', [], create({ room_version: '99' }), false],
    ['with a room version that is no string', '1-12', [], create({ room_version: 5 }), false],
    ['with a known room version', '1-12', [], create({ room_version: '6' }), true],
    ['without a creator', '1-10', [], { ...first, content: {} }, false],
    ['without a creator', '11-12', [], { ...first, content: {} }, true],
    ['with additional creators that are user ids', '12', [], create({ additional_creators: [bob] }), true],
    ['with an additional creator that is no user id', '12', [], create({ additional_creators: ['bob'] }), false],
    ['with additional creators that are no list', '12', [], create({ additional_creators: bob }), false],
    ['with odd additional creators before they mean anything', '1-11', [], create({ additional_creators: 5 }), true],
  ]);
});

describe('the room', () => {
  table([
    ['an event without a create event in the state', '1-12', [...joined(alice)], message(alice), false],
    [
      'a room id that does not name the create event',
      '12',
      [create(), ...joined(alice)],
      { ...message(alice), roomId: '!other' },
      false,
    ],
    [
      'a foreign sender where m.federate is false',
      '1-12',
      [create({ 'm.federate': false }), ...joined(bob)],
      message(bob),
      false,
    ],
    [
      "the create sender's server where m.federate is false",
      '1-12',
      [create({ 'm.federate': false }), ...joined('@eve:h1')],
      message('@eve:h1'),
      true,
    ],
    [
      'a foreign sender where m.federate is true',
      '1-12',
      [create({ 'm.federate': true }), ...joined(bob)],
      message(bob),
      true,
    ],
    ['a sender who is not in the room', '1-12', [create()], message(bob), false],
    ['a sender who left', '1-12', [create(), member(bob, 'leave')], message(bob), false],
    ['a sender who is only invited', '1-12', [create(), member(bob, 'invite')], message(bob), false],
    ['a message of a member', '1-12', [create(), ...joined(bob)], message(bob), true],
    [
      'aliases under the own server by a stranger',
      '1-5',
      [create()],
      { type: 'm.room.aliases', sender: bob, stateKey: 'h2' },
      true,
    ],
    [
      'aliases under the own server by a stranger',
      '6-12',
      [create()],
      { type: 'm.room.aliases', sender: bob, stateKey: 'h2' },
      false,
    ],
    [
      'aliases under another server',
      '1-5',
      [create(), ...joined(alice)],
      { type: 'm.room.aliases', sender: alice, stateKey: 'h2' },
      false,
    ],
    [
      'aliases without a state key',
      '1-5',
      [create(), ...joined(alice)],
      { type: 'm.room.aliases', sender: alice },
      false,
    ],
    [
      'aliases under another server by who may send state',
      '6-11',
      [create(), ...joined(alice)],
      { type: 'm.room.aliases', sender: alice, stateKey: 'h2' },
      true,
    ],
  ]);
});

describe('joins', () => {
  const afterCreate = { prev: [createId] };
  const base = [create(), ...joined(alice)];
  const vouched = member(carol, 'join', { content: { join_authorised_via_users_server: bob } });
  table([
    ["the creator's first join", '1-12', [create()], member(alice, 'join', afterCreate), true],
    ['a first join by somebody else', '1-12', [create()], member(bob, 'join', afterCreate), false],
    [
      'a first join by an additional creator',
      '12',
      [create({ additional_creators: [bob] })],
      member(bob, 'join', afterCreate),
      false,
    ],
    [
      'a first join by the content creator who is not the sender',
      '1-10',
      [create({ creator: bob })],
      member(bob, 'join', afterCreate),
      true,
    ],
    [
      'a first join by the content creator who is not the sender',
      '11-12',
      [create({ creator: bob })],
      member(bob, 'join', afterCreate),
      false,
    ],
    [
      "the creator's join with another previous event",
      '1-12',
      [create()],
      member(alice, 'join', { prev: ['$x:h1'] }),
      false,
    ],
    ['a join for somebody else', '1-12', [...base, joinRule('public')], member(bob, 'join', { sender: carol }), false],
    ['a join of a banned user', '1-12', [...base, joinRule('public'), member(bob, 'ban')], member(bob, 'join'), false],
    ['a join where there is no join rule', '1-12', base, member(bob, 'join'), false],
    ['a join by invite', '1-12', [...base, joinRule('invite'), member(bob, 'invite')], member(bob, 'join'), true],
    ['a join without invite', '1-12', [...base, joinRule('invite')], member(bob, 'join'), false],
    ['a repeated join', '1-12', [...base, joinRule('invite'), member(bob, 'join')], member(bob, 'join'), true],
    ['a join of a public room', '1-12', [...base, joinRule('public')], member(bob, 'join'), true],
    [
      'a join under an unknown rule',
      '1-12',
      [...base, joinRule('private'), member(bob, 'invite')],
      member(bob, 'join'),
      false,
    ],
    [
      'an invited join under knock',
      '7-12',
      [...base, joinRule('knock'), member(bob, 'invite')],
      member(bob, 'join'),
      true,
    ],
    [
      'an invited join under knock',
      '1-6',
      [...base, joinRule('knock'), member(bob, 'invite')],
      member(bob, 'join'),
      false,
    ],
    [
      'a join after a knock alone',
      '7-12',
      [...base, joinRule('knock'), member(bob, 'knock')],
      member(bob, 'join'),
      false,
    ],
    [
      'an invited join under restricted',
      '8-12',
      [...base, joinRule('restricted'), member(bob, 'invite')],
      member(bob, 'join'),
      true,
    ],
    [
      'an invited join under restricted',
      '1-7',
      [...base, joinRule('restricted'), member(bob, 'invite')],
      member(bob, 'join'),
      false,
    ],
    [
      'a restricted join vouched for by a member',
      '8-12',
      [...base, ...joined(bob), joinRule('restricted')],
      vouched,
      true,
    ],
    [
      'a restricted join that nobody vouches for',
      '8-12',
      [...base, ...joined(bob), joinRule('restricted')],
      member(carol, 'join'),
      false,
    ],
    ['a restricted join vouched for by a stranger', '8-12', [...base, joinRule('restricted')], vouched, false],
    [
      'a restricted join vouched for by who may not invite',
      '8-12',
      [...base, ...joined(bob), joinRule('restricted'), levels({ invite: 10 })],
      vouched,
      false,
    ],
    [
      'a knock_restricted join vouched for',
      '10-12',
      [...base, ...joined(bob), joinRule('knock_restricted')],
      vouched,
      true,
    ],
    [
      'a knock_restricted join vouched for',
      '1-9',
      [...base, ...joined(bob), joinRule('knock_restricted')],
      vouched,
      false,
    ],
    [
      'a member event without state key',
      '1-12',
      base,
      { type: 'm.room.member', sender: alice, content: { membership: 'join' } },
      false,
    ],
    [
      'a member event without membership',
      '1-12',
      base,
      { type: 'm.room.member', sender: alice, stateKey: alice },
      false,
    ],
    ['an unknown membership', '1-12', base, member(alice, 'sleep'), false],
  ]);
});

describe('invites', () => {
  const base = [create(), ...joined(alice, bob)];
  const offer = (content: JsonObject, sender = bob): EventDraft => ({
    type: 'm.room.third_party_invite',
    sender,
    stateKey: 'tok',
    content,
  });
  const redeem = (signed: JsonObject): EventDraft => invite(bob, carol, { third_party_invite: { signed } });
  const signed = { mxid: carol, token: 'tok', signatures: {} };
  table([
    ['by a member', '1-12', base, invite(bob, carol), true],
    ['by a stranger', '1-12', base, invite(dave, carol), false],
    ['of a joined user', '1-12', base, invite(alice, bob), false],
    ['of a banned user', '1-12', [...base, member(carol, 'ban')], invite(alice, carol), false],
    ['of an invited user again', '1-12', [...base, member(carol, 'invite')], invite(alice, carol), true],
    ['of a user who knocked', '7-12', [...base, member(carol, 'knock')], invite(alice, carol), true],
    ['below the invite level', '1-12', [...base, levels({ invite: 10 })], invite(bob, carol), false],
    ['at the invite level', '1-12', [...base, levels({ invite: 50, users: { [bob]: 50 } })], invite(bob, carol), true],
    ['third-party, signed by public_key', '1-12', [...base, offer({ public_key: 'good' })], redeem(signed), true],
    [
      'third-party, signed by one of public_keys',
      '1-12',
      [...base, offer({ public_key: 'bad', public_keys: [{ public_key: 'good' }] })],
      redeem(signed),
      true,
    ],
    ['third-party, signed by no known key', '1-12', [...base, offer({ public_key: 'bad' })], redeem(signed), false],
    ['third-party without offer', '1-12', base, redeem(signed), false],
    [
      "third-party, somebody else's offer",
      '1-12',
      [...base, offer({ public_key: 'good' }, alice)],
      redeem(signed),
      false,
    ],
    [
      'third-party for another user',
      '1-12',
      [...base, offer({ public_key: 'good' })],
      redeem({ ...signed, mxid: dave }),
      false,
    ],
    ['third-party without mxid', '1-12', [...base, offer({ public_key: 'good' })], redeem({ token: 'tok' }), false],
    ['third-party without token', '1-12', [...base, offer({ public_key: 'good' })], redeem({ mxid: carol }), false],
    [
      'third-party without signed',
      '1-12',
      [...base, offer({ public_key: 'good' })],
      invite(bob, carol, { third_party_invite: {} }),
      false,
    ],
    [
      'third-party of a banned user',
      '1-12',
      [...base, offer({ public_key: 'good' }), member(carol, 'ban')],
      redeem(signed),
      false,
    ],
    [
      'third-party by a sender who has left since',
      '1-12',
      [create(), member(bob, 'leave'), offer({ public_key: 'good' })],
      redeem(signed),
      true,
    ],
    ['sending a third-party invite', '1-12', base, offer({}), true],
    [
      'sending a third-party invite below the invite level',
      '1-12',
      [...base, levels({ invite: 50 })],
      offer({}),
      false,
    ],
    [
      'sending a third-party invite above the state level alone',
      '1-12',
      [...base, levels({ state_default: 50 })],
      offer({}),
      true,
    ],
  ]);
});

describe('leaving, kicks, bans and knocks', () => {
  const base = [create(), ...joined(alice, bob, carol), staffed({}, withAlice)];
  const base12 = [create(), ...joined(alice, bob, carol), staffed()];
  table([
    ['leaving', '1-12', base, member(carol, 'leave'), true],
    ['leaving twice', '1-12', [create(), member(carol, 'leave')], member(carol, 'leave'), false],
    ['turning down an invite', '1-12', [create(), member(carol, 'invite')], member(carol, 'leave'), true],
    ['withdrawing a knock', '7-12', [create(), member(carol, 'knock')], member(carol, 'leave'), true],
    ['withdrawing a knock', '1-6', [create(), member(carol, 'knock')], member(carol, 'leave'), false],
    ['leaving while banned', '1-12', [create(), member(carol, 'ban')], member(carol, 'leave'), false],
    ['a kick by a moderator', '1-12', base, kick(bob, carol), true],
    ['a kick by a member', '1-12', base, kick(carol, bob), false],
    [
      'a kick of an equal',
      '1-12',
      [create(), ...joined(bob, dave), levels({ users: { [bob]: 50, [dave]: 50 } })],
      kick(bob, dave),
      false,
    ],
    ['a kick of the creator by a moderator', '1-11', base, kick(bob, alice), false],
    ['a kick of the creator by a moderator', '12', base12, kick(bob, alice), false],
    [
      'a kick of a creator by a creator',
      '12',
      [create({ additional_creators: [bob] }), ...joined(alice, bob)],
      kick(bob, alice),
      false,
    ],
    [
      'a kick by a moderator who left',
      '1-12',
      [create(), member(bob, 'leave'), ...joined(carol), staffed()],
      kick(bob, carol),
      false,
    ],
    [
      'an unban by a moderator',
      '1-12',
      [create(), ...joined(bob), member(carol, 'ban'), staffed()],
      kick(bob, carol),
      true,
    ],
    [
      'an unban below the ban level',
      '1-12',
      [create(), ...joined(bob), member(carol, 'ban'), staffed({ ban: 60 })],
      kick(bob, carol),
      false,
    ],
    [
      'an unban below the kick level',
      '1-12',
      [create(), ...joined(bob), member(carol, 'ban'), staffed({ kick: 60 })],
      kick(bob, carol),
      false,
    ],
    ['a ban by a moderator', '1-12', base, ban(bob, carol), true],
    ['a ban of who is not there', '1-12', base, ban(bob, dave), true],
    ['a ban by a member', '1-12', base, ban(carol, dave), false],
    ['a ban of the creator', '12', base12, ban(bob, alice), false],
    ['a ban by a moderator who left', '1-12', [create(), member(bob, 'leave'), staffed()], ban(bob, carol), false],
    ['a knock', '7-12', [create(), joinRule('knock')], member(carol, 'knock'), true],
    ['a knock', '1-6', [create(), joinRule('knock')], member(carol, 'knock'), false],
    ['a knock under knock_restricted', '10-12', [create(), joinRule('knock_restricted')], member(carol, 'knock'), true],
    ['a knock under knock_restricted', '7-9', [create(), joinRule('knock_restricted')], member(carol, 'knock'), false],
    ['a knock on an invite-only room', '7-12', [create(), joinRule('invite')], member(carol, 'knock'), false],
    [
      'a knock for somebody else',
      '7-12',
      [create(), joinRule('knock')],
      member(carol, 'knock', { sender: dave }),
      false,
    ],
    [
      'a knock while banned',
      '7-12',
      [create(), joinRule('knock'), member(carol, 'ban')],
      member(carol, 'knock'),
      false,
    ],
    [
      'a knock while invited',
      '7-12',
      [create(), joinRule('knock'), member(carol, 'invite')],
      member(carol, 'knock'),
      false,
    ],
    [
      'a knock while joined',
      '7-12',
      [create(), joinRule('knock'), member(carol, 'join')],
      member(carol, 'knock'),
      false,
    ],
    ['a second knock', '7-12', [create(), joinRule('knock'), member(carol, 'knock')], member(carol, 'knock'), true],
  ]);
});

describe('levels to send', () => {
  const base = [create(), ...joined(alice, bob, carol)];
  table([
    ['state by the creator without power levels', '1-12', base, topic(alice), true],
    ['state by others without power levels', '1-12', base, topic(bob), false],
    ['state by a moderator', '1-12', [...base, staffed()], topic(bob), true],
    ['state by the creator who is not listed', '1-11', [...base, staffed()], topic(alice), false],
    ['state by the creator who is not listed', '12', [...base, staffed()], topic(alice), true],
    [
      'state by an additional creator',
      '12',
      [create({ additional_creators: [carol] }), ...joined(carol), staffed()],
      topic(carol),
      true,
    ],
    [
      'a type with a level of its own',
      '1-12',
      [...base, staffed({ events: { 'm.room.topic': 0 } })],
      topic(carol),
      true,
    ],
    ['a message above events_default', '1-12', [...base, staffed({ events_default: 10 })], message(carol), false],
    [
      'users_default reaches it',
      '1-12',
      [...base, staffed({ events_default: 10, users_default: 10 })],
      message(carol),
      true,
    ],
    [
      'a state key that is the own user id',
      '1-12',
      [...base, staffed()],
      { type: 'x', sender: bob, stateKey: bob },
      true,
    ],
    [
      "a state key that is another's user id",
      '1-12',
      [...base, staffed()],
      { type: 'x', sender: bob, stateKey: carol },
      false,
    ],
    ['a level as text', '1-9', [...base, staffed({ events: { 'm.room.topic': ' +0060 ' } })], topic(bob), false],
    ['a user level as text', '1-9', [...base, levels({ users: { [bob]: '50' } })], topic(bob), true],
    ['a user level as float', '1-5', [...base, levels({ users: { [bob]: 50.9 } })], topic(bob), true],
    [
      "redaction of another's message by a member",
      '3-12',
      base,
      { type: 'm.room.redaction', sender: bob, redacts: '$m:h3' },
      true,
    ],
    [
      "redaction of another server's message by a member",
      '1-2',
      base,
      { type: 'm.room.redaction', sender: bob, redacts: '$m:h3' },
      false,
    ],
    [
      'redaction of a message of the own server',
      '1-2',
      base,
      { type: 'm.room.redaction', sender: bob, redacts: '$m:h2' },
      true,
    ],
    [
      'redaction by a moderator',
      '1-2',
      [...base, staffed()],
      { type: 'm.room.redaction', sender: bob, redacts: '$m:h3' },
      true,
    ],
    [
      'redaction above its own event level',
      '1-12',
      [...base, staffed({ events: { 'm.room.redaction': 60 } })],
      { type: 'm.room.redaction', sender: bob, redacts: '$m:h2' },
      false,
    ],
  ]);
});

describe('power levels', () => {
  const base = [create(), ...joined(alice, bob, carol)];
  // Bob has 50 and may send power levels.
  const events = { 'm.room.power_levels': 50, 'm.room.name': 60 };
  const now = { users: { [bob]: 50, [carol]: 50, [dave]: 20 }, events, ban: 50, kick: 60, notifications: { room: 60 } };
  const room = [...base, levels(now)];
  const byBob = (content: JsonObject): EventDraft => levels({ ...now, ...content }, { sender: bob });
  const first = (content: JsonObject): EventDraft => levels(content);
  table([
    ['the first ones', '1-12', base, first({ users: { [bob]: 1000 } }), true],
    ['users that is no object', '1-12', base, first({ users: [] }), false],
    ['a user key that is no user id', '1-12', base, first({ users: { bob: 1 } }), false],
    ['a user level that is no number', '1-12', base, first({ users: { [bob]: 'high' } }), false],
    ['a user level as text', '1-9', base, first({ users: { [bob]: '50' } }), true],
    ['a user level as text', '10-12', base, first({ users: { [bob]: '50' } }), false],
    ['a user level as float text', '1-12', base, first({ users: { [bob]: '50.5' } }), false],
    ['a user level as float', '1-5', base, first({ users: { [bob]: 50.5 } }), true],
    ['a user level as float', '6-12', base, first({ users: { [bob]: 50.5 } }), false],
    ['a null level', '1-12', base, first({ ban: null }), false],
    ['a top-level level as text', '10-12', base, first({ ban: '50' }), false],
    ['events that is no object', '10-12', base, first({ events: [] }), false],
    ['an event level as text', '10-12', base, first({ events: { x: '1' } }), false],
    ['a notification level as text', '10-12', base, first({ notifications: { room: '1' } }), false],
    ['notifications that is no object', '10-12', base, first({ notifications: 5 }), false],
    ['unreadable notifications before they count', '1-5', base, first({ notifications: 5 }), true],
    ['a creator listed', '12', base, first({ users: { [alice]: 100 } }), false],
    [
      'an additional creator listed',
      '12',
      [create({ additional_creators: [bob] }), ...joined(alice)],
      first({ users: { [bob]: 1 } }),
      false,
    ],
    ['a creator listed', '1-11', base, first({ users: { [alice]: 100 } }), true],
    ['unchanged', '1-12', room, byBob({}), true],
    [
      'the same in another notation',
      '1-9',
      room,
      byBob({ kick: '60', events: { ...events, 'm.room.name': '060' } }),
      true,
    ],
    ['sent by who may not', '1-12', room, levels(now, { sender: dave }), false],
    ['lowering a level within reach', '1-12', room, byBob({ ban: 10 }), true],
    ['lowering a level above the sender', '1-12', room, byBob({ kick: 10 }), false],
    [
      'removing a level above the sender',
      '1-12',
      room,
      levels({ users: now.users, events, ban: 50, notifications: now.notifications }, { sender: bob }),
      false,
    ],
    ['raising a level above the sender', '1-12', room, byBob({ ban: 51 }), false],
    ['adding a level above the sender', '1-12', room, byBob({ redact: 51 }), false],
    [
      'changing an event level above the sender',
      '1-12',
      room,
      byBob({ events: { 'm.room.power_levels': 50, 'm.room.name': 0 } }),
      false,
    ],
    ['removing an event level above the sender', '1-12', room, byBob({ events: { 'm.room.power_levels': 50 } }), false],
    ['adding an event level above the sender', '1-12', room, byBob({ events: { ...events, x: 51 } }), false],
    ['adding an event level at the sender', '1-12', room, byBob({ events: { ...events, x: 50 } }), true],
    ['changing a notification level above the sender', '1-5', room, byBob({ notifications: { room: 0 } }), true],
    ['changing a notification level above the sender', '6-12', room, byBob({ notifications: { room: 0 } }), false],
    [
      'adding a notification level above the sender',
      '6-12',
      room,
      byBob({ notifications: { room: 60, x: 51 } }),
      false,
    ],
    ['lowering oneself', '1-12', room, byBob({ users: { ...now.users, [bob]: 10 } }), true],
    ['raising oneself', '1-12', room, byBob({ users: { ...now.users, [bob]: 51 } }), false],
    ['lowering an equal', '1-12', room, byBob({ users: { ...now.users, [carol]: 10 } }), false],
    ['removing an equal', '1-12', room, byBob({ users: { [bob]: 50, [dave]: 20 } }), false],
    ['raising a lower one to the own level', '1-12', room, byBob({ users: { ...now.users, [dave]: 50 } }), true],
    ['raising a lower one above the own level', '1-12', room, byBob({ users: { ...now.users, [dave]: 51 } }), false],
    ['anything by a privileged creator', '12', room, first({ users: { [carol]: 2 ** 53 - 1 } }), true],
  ]);
});

describe('auth event selection', () => {
  const tuples = (version: string, draft: EventDraft): string[] =>
    authTypesFor(makeEvent('$x', draft), rulesOf(version)).map(([type, key]) => `${type.slice(7)}|${key}`);

  test('takes create, power levels and the sender for a message, and no create event in version 12', () => {
    expect(tuples('11', message(bob))).toEqual(['create|', 'power_levels|', `member|${bob}`]);
    expect(tuples('12', message(bob))).toEqual(['power_levels|', `member|${bob}`]);
    expect(tuples('12', create())).toEqual([]);
  });

  test('takes the target once and the join rules for joins, invites and knocks', () => {
    expect(tuples('11', member(bob, 'join'))).toEqual(['create|', 'power_levels|', `member|${bob}`, 'join_rules|']);
    expect(tuples('11', kick(alice, bob))).toEqual(['create|', 'power_levels|', `member|${alice}`, `member|${bob}`]);
    expect(tuples('11', member(bob, 'knock'))).toContain('join_rules|');
  });

  test('takes the third-party invite of an invite by its token', () => {
    const event = invite(alice, bob, { third_party_invite: { signed: { token: 'tok' } } });
    expect(tuples('11', event)).toContain('third_party_invite|tok');
    expect(tuples('11', { ...event, content: { ...event.content, membership: 'join' } })).not.toContain(
      'third_party_invite|tok',
    );
  });

  test('takes the authorising user of a restricted join from version 8 on', () => {
    const event = member(bob, 'join', { content: { join_authorised_via_users_server: alice } });
    expect(tuples('7', event)).not.toContain(`member|${alice}`);
    expect(tuples('8', event)).toContain(`member|${alice}`);
  });
});

describe('entries of auth_events', () => {
  const cite = (draft: EventDraft, rejected = false, id = createId) => ({ event: makeEvent(id, draft), rejected });
  const event = makeEvent('$e', message(bob));
  const good = [cite(create()), cite(staffed()), cite(member(bob, 'join'))];
  const check = (version: string, cited: typeof good): boolean =>
    checkAuthEvents(event, cited, rulesOf(version)).allowed;

  test('the selected ones are allowed', () => {
    expect(check('11', good)).toBe(true);
    expect(check('12', good.slice(1))).toBe(true);
  });

  test('a duplicate, unexpected, rejected or foreign entry rejects', () => {
    expect(check('11', [...good, cite(member(bob, 'join'))])).toBe(false);
    expect(check('11', [...good, cite(member(alice, 'join'))])).toBe(false);
    expect(check('11', [...good, cite(message(alice))])).toBe(false);
    expect(check('11', [...good.slice(0, 2), cite(member(bob, 'join'), true)])).toBe(false);
    expect(check('11', [...good.slice(0, 2), cite(member(bob, 'join', { roomId: '!other:h1' }))])).toBe(false);
  });

  test('the create event must be there up to version 11 and must not from 12 on', () => {
    expect(check('11', good.slice(1))).toBe(false);
    expect(check('12', good)).toBe(false);
  });
});
