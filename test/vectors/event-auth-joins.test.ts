/** Authorisation of joins and invites. */
import { describe } from '@jest/globals';
import type { JsonObject } from '../../src/matrix/json.ts';
import { alice, bob, carol, dave, create, levels, joinRule, invite, joined, table } from '../support/event-auth.ts';
import { type EventDraft, createId, member } from '../support/room-dag.ts';

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
