/** Authorisation of leaving, kicks, bans and knocks. */
import { describe } from '@jest/globals';
import {
  alice,
  bob,
  carol,
  dave,
  create,
  levels,
  joinRule,
  kick,
  joined,
  staffed,
  table,
} from '../support/event-auth.ts';
import { type EventDraft, member } from '../support/room-dag.ts';

const ban = (by: string, target: string): EventDraft => member(target, 'ban', { sender: by });

const withAlice = { [alice]: 100 };

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
