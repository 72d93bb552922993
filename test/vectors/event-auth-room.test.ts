/** Authorisation (rooms/v12, authorization rules): the create event, the room, what levels allow to send. */
import { describe } from '@jest/globals';
import { alice, bob, carol, create, levels, message, joined, staffed, table } from '../support/event-auth.ts';
import { type EventDraft, member } from '../support/room-dag.ts';

const topic = (sender: string): EventDraft => ({ type: 'm.room.topic', sender, stateKey: '', content: { topic: 't' } });

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
