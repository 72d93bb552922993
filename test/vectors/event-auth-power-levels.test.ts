/** Authorisation of changes of power levels. */
import { describe } from '@jest/globals';
import type { JsonObject } from '../../src/matrix/json.ts';
import { alice, bob, carol, dave, create, levels, joined, table } from '../support/event-auth.ts';
import { type EventDraft } from '../support/room-dag.ts';

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
