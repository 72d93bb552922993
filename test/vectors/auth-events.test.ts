/** Which events an event cites as its auth events, and which it may. */
import { describe, expect, test } from '@jest/globals';
import { authTypesFor } from '../../src/matrix/auth-types.ts';
import { checkAuthEvents } from '../../src/matrix/event-auth.ts';
import { alice, bob, create, kick, invite, message, staffed } from '../support/event-auth.ts';
import { type EventDraft, createId, makeEvent, member, rulesOf } from '../support/room-dag.ts';

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
