import { describe, expect, test } from '@jest/globals';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Pdu } from '../../src/matrix/pdu.ts';
import { redactPdu } from '../../src/matrix/redaction.ts';
import { roomVersions } from '../../src/matrix/room-versions.ts';

/** The lists of the room version pages, written out here once more: what each version keeps. */
const common =
  'auth_events content depth event_id hashes origin_server_ts prev_events room_id sender signatures state_key type';
const legacy = `${common} membership origin prev_state`;
const levels = 'ban events events_default kick redact state_default users users_default';
const base = {
  top: legacy,
  member: 'membership',
  create: 'creator',
  joinRules: 'join_rule',
  powerLevels: levels,
  visibility: 'history_visibility',
  aliases: 'aliases',
  redaction: '',
};
const v6 = { ...base, aliases: '' };
const v8 = { ...v6, joinRules: 'allow join_rule' };
const v9 = { ...v8, member: 'join_authorised_via_users_server membership' };
const v11 = {
  ...v9,
  top: common,
  member: 'join_authorised_via_users_server membership third_party_invite',
  create: 'creator m.federate predecessor room_version',
  powerLevels: `ban events events_default invite kick redact state_default users users_default`,
  redaction: 'redacts',
};
const table: [string, typeof base][] = [
  ...['1', '2', '3', '4', '5'].map((version): [string, typeof base] => [version, base]),
  ['6', v6],
  ['7', v6],
  ['8', v8],
  ['9', v9],
  ['10', v9],
  ['11', v11],
  ['12', v11],
];

const event = (type: string, content: JsonObject): Pdu => ({
  type,
  content,
  sender: '@a:x.org',
  origin_server_ts: 5,
  auth_events: [],
  depth: 2,
  event_id: '$1:x.org',
  hashes: { sha256: 'x' },
  membership: 'join',
  origin: 'x.org',
  prev_events: [],
  prev_state: [],
  redacts: '$2:x.org',
  room_id: '!r:x.org',
  signatures: { 'x.org': {} },
  state_key: '',
  unsigned: { age: 1 },
  prev_content: {},
  'org.example.more': 1,
});

const members: JsonObject = {
  membership: 'join',
  displayname: 'A',
  avatar_url: 'mxc://x.org/a',
  reason: 'because',
  join_authorised_via_users_server: '@b:x.org',
  third_party_invite: { display_name: 'A', signed: { mxid: '@a:x.org', signatures: {}, token: 't' } },
};
const powerLevels: JsonObject = {
  ban: 1,
  events: { a: 1 },
  events_default: 1,
  invite: 1,
  kick: 1,
  notifications: { room: 1 },
  redact: 1,
  state_default: 1,
  users: { '@a:x.org': 1 },
  users_default: 1,
};
const keys = (object: JsonObject): string => Object.keys(object).sort().join(' ');

describe.each(table)('Room version %s', (version, kept) => {
  const rules = roomVersions.get(version);
  if (rules === undefined) throw new Error(version);
  const contentOf = (type: string, content: JsonObject): JsonObject => redactPdu(event(type, content), rules).content;

  test('keeps its top-level members and no content of an ordinary event', () => {
    const redacted = redactPdu(event('m.room.message', { body: 'x', membership: 'join' }), rules);
    expect(keys(redacted)).toBe(kept.top.split(' ').sort().join(' '));
    expect(redacted.content).toEqual({});
  });

  test.each<[string, JsonObject, keyof typeof base]>([
    ['m.room.member', members, 'member'],
    ['m.room.create', { creator: '@a:x.org', room_version: version, 'm.federate': true, predecessor: {} }, 'create'],
    ['m.room.join_rules', { join_rule: 'restricted', allow: [], other: 1 }, 'joinRules'],
    ['m.room.power_levels', powerLevels, 'powerLevels'],
    ['m.room.history_visibility', { history_visibility: 'shared', other: 1 }, 'visibility'],
    ['m.room.aliases', { aliases: ['#a:x.org'], other: 1 }, 'aliases'],
    ['m.room.redaction', { redacts: '$2:x.org', reason: 'x' }, 'redaction'],
  ])('keeps the protected content of %s', (type, content, name) => {
    const redacted = contentOf(type, content);
    expect(keys(redacted)).toBe(kept[name]);
    for (const [key, value] of Object.entries(redacted))
      if (key !== 'third_party_invite') expect(value).toEqual(content[key]);
  });

  test('keeps of a third-party invite only what is signed', () => {
    const expected =
      version === '11' || version === '12' ? { signed: { mxid: '@a:x.org', signatures: {}, token: 't' } } : undefined;
    expect(contentOf('m.room.member', members).third_party_invite).toEqual(expected);
  });

  test('does not touch the original', () => {
    const original = event('m.room.member', members);
    redactPdu(original, rules);
    expect(original).toEqual(event('m.room.member', members));
  });
});
