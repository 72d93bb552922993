import { describe, expect, test } from '@jest/globals';
import {
  type Pdu,
  contentHash,
  eventIdOf,
  hasValidContentHash,
  referenceHash,
  toRoomEvent,
} from '../../src/matrix/pdu.ts';
import { type RoomVersionRules, rulesOfVersion } from '../../src/matrix/room-versions.ts';

const rulesOf = (version: string): RoomVersionRules => {
  const rules = rulesOfVersion(version);
  if (rules === undefined) throw new Error(version);
  return rules;
};

// The hashes were computed by another implementation of the algorithm, in another language.
const member: Pdu = {
  type: 'm.room.member',
  sender: '@é:x.org',
  state_key: '@é:x.org',
  room_id: '!r:x.org',
  depth: 7,
  origin_server_ts: 1_700_000_000_000,
  content: { membership: 'join', displayname: 'Ö \u{1f600}', join_authorised_via_users_server: '@b:x.org' },
  prev_events: ['$p'],
  auth_events: ['$a', '$b'],
  hashes: { sha256: 'Mn0tQBD8XoerS42pndRorXoPA0CH8TDvrgka0DHtufU' },
  signatures: { 'x.org': { 'ed25519:1': 'AAAA' } },
  origin: 'x.org',
};
const create: Pdu = {
  type: 'm.room.create',
  sender: '@a:x.org',
  state_key: '',
  depth: 1,
  origin_server_ts: 1_700_000_000_000,
  content: { room_version: '12', additional_creators: ['@b:x.org'], '\u{1f600}': 1, '\uff21': 2 },
  prev_events: [],
  auth_events: [],
  hashes: { sha256: 'D3kmWCLaPDFwP0hiVnverSqpjinfUHByRQN5gr3C2LU' },
  signatures: { 'x.org': { 'ed25519:1': 'AAAA' } },
};

describe('The event id', () => {
  test.each([
    ['3', '$RwhX4XwnYPIUERy3dx/CyM3v2epZSSaBxmgBTC3a1wA'],
    ['4', '$RwhX4XwnYPIUERy3dx_CyM3v2epZSSaBxmgBTC3a1wA'],
    ['8', '$RwhX4XwnYPIUERy3dx_CyM3v2epZSSaBxmgBTC3a1wA'],
    ['9', '$o5H1zhaL9YHVl3YRKPtxKOJfVfzEbCR4vqJlvWbGpIg'],
    ['10', '$o5H1zhaL9YHVl3YRKPtxKOJfVfzEbCR4vqJlvWbGpIg'],
    ['11', '$QmXUMVIxfv660XKni5FhnzpYq2Rj43LP4Q-b1mCC_rE'],
    ['12', '$QmXUMVIxfv660XKni5FhnzpYq2Rj43LP4Q-b1mCC_rE'],
  ])('in room version %s is %s', (version, id) => {
    expect(eventIdOf(member, rulesOf(version))).toBe(id);
    expect(eventIdOf({ ...member, unsigned: { age: 5 }, signatures: {} }, rulesOf(version))).toBe(id);
  });

  test('in room versions 1 and 2 stands in the event', () => {
    for (const version of ['1', '2'])
      expect(eventIdOf({ ...member, event_id: '$abc:x.org' }, rulesOf(version))).toBe('$abc:x.org');
  });

  test('of a version 12 create event gives the room its id', () => {
    const event = toRoomEvent(create, rulesOf('12'));
    expect(event.eventId).toBe('$5kk-elpFdJazAm6GCAAIcncsJ55Q-GqVoSNNlGRxTXc');
    expect(event.roomId).toBe('!5kk-elpFdJazAm6GCAAIcncsJ55Q-GqVoSNNlGRxTXc');
  });
});

test('The reference hash is written in standard base64', () => {
  expect(referenceHash(member, rulesOf('4'))).toBe('RwhX4XwnYPIUERy3dx/CyM3v2epZSSaBxmgBTC3a1wA');
});

test('The content hash covers all but unsigned, signatures and hashes', () => {
  const rules = rulesOf('10');
  for (const event of [member, create]) {
    expect(contentHash(event, rules)).toBe((event.hashes as { sha256: string }).sha256);
    expect(hasValidContentHash(event, rules)).toBe(true);
    expect(hasValidContentHash({ ...event, unsigned: { age: 1 }, signatures: {} }, rules)).toBe(true);
    expect(hasValidContentHash({ ...event, 'org.example.more': 1 }, rules)).toBe(false);
    expect(hasValidContentHash({ ...event, hashes: {} }, rules)).toBe(false);
  }
});

test('A content hash is compared by its bytes: padding and alphabet do not matter', () => {
  const sha256 = 'Mn0tQBD8XoerS42pndRorXoPA0CH8TDvrgka0DHtufU';
  const url = { ...create, hashes: { sha256: `${String((create.hashes as { sha256: string }).sha256)}=` } };
  expect(hasValidContentHash(url, rulesOf('12'))).toBe(true);
  expect(hasValidContentHash({ ...member, hashes: { sha256: `${sha256}=` } }, rulesOf('12'))).toBe(true);
  expect(hasValidContentHash({ ...member, hashes: { sha256: '*' } }, rulesOf('12'))).toBe(false);
});
