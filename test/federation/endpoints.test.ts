/** What each endpoint of the federation client asks, and which replies it takes. */
import { describe, expect, test } from '@jest/globals';
import { TextList } from '../../src/fedclient/text-list.ts';
import type { Result } from '../../src/util/result.ts';
import { useEndpoints } from '../support/endpoint-scene.ts';
import { TestNetwork } from '../support/federation.ts';

const network = new TestNetwork();
const scene = useEndpoints(network);
const list = (...texts: readonly string[]): TextList => TextList.of(texts);
const room = '!a/b:peer.test';
const event = '{"type":"m.room.member","n":1.0}';

interface Case {
  readonly name: string;
  readonly call: () => Promise<Result<unknown, unknown>>;
  readonly reply: unknown;
  readonly asked: readonly [method: string, url: string];
  readonly body?: unknown;
  readonly value: unknown;
  /** Replies that are not what the specification says. */
  readonly wrong: readonly unknown[];
}

const template = { room_version: '10', event: { type: 'm.room.member' } };
const made = { roomVersion: '10', event: { type: 'm.room.member' } };
const path = '/_matrix/federation/v1';
const id = encodeURIComponent(room);

const cases: readonly Case[] = [
  {
    name: 'make_join',
    call: () => scene.api.makeJoin(scene.peer.name, room, '@u:us.test', ['9', '10']),
    reply: template,
    asked: ['GET', `${path}/make_join/${id}/%40u%3Aus.test?ver=9&ver=10`],
    value: made,
    wrong: [{}, { event: [] }, { event: {}, room_version: 10 }],
  },
  {
    name: 'send_join',
    call: () => scene.api.sendJoin(scene.peer.name, room, '$e', event, true),
    reply: `{"state":[${event}, {"x":2}],"auth_chain":[],"event":${event},"members_omitted":true,"servers_in_room":["a"]}`,
    asked: ['PUT', `/_matrix/federation/v2/send_join/${id}/%24e?omit_members=true`],
    body: '{"n":1.0,"type":"m.room.member"}',
    value: { state: list(event, '{"x":2}'), authChain: list(), event, membersOmitted: true, serversInRoom: ['a'] },
    wrong: [{ state: [] }, { auth_chain: [] }, { state: {}, auth_chain: [] }, { state: [], auth_chain: [], event: 1 }],
  },
  {
    name: 'make_leave',
    call: () => scene.api.makeLeave(scene.peer.name, room, '@u:us.test'),
    reply: template,
    asked: ['GET', `${path}/make_leave/${id}/%40u%3Aus.test`],
    value: made,
    wrong: [[]],
  },
  {
    name: 'send_leave',
    call: () => scene.api.sendLeave(scene.peer.name, room, '$e', event),
    reply: {},
    asked: ['PUT', `/_matrix/federation/v2/send_leave/${id}/%24e`],
    value: {},
    wrong: [[200, {}]],
  },
  {
    name: 'make_knock',
    call: () => scene.api.makeKnock(scene.peer.name, room, '@u:us.test', ['7']),
    reply: template,
    asked: ['GET', `${path}/make_knock/${id}/%40u%3Aus.test?ver=7`],
    value: made,
    wrong: [{ room_version: '7' }],
  },
  {
    name: 'send_knock',
    call: () => scene.api.sendKnock(scene.peer.name, room, '$e', event),
    reply: `{"knock_room_state":[${event}]}`,
    asked: ['PUT', `${path}/send_knock/${id}/%24e`],
    value: [event],
    wrong: [{}, { knock_room_state: null }],
  },
  {
    name: 'invite v2',
    call: () =>
      scene.api.inviteV2(scene.peer.name, {
        roomId: room,
        eventId: '$e',
        roomVersion: '10',
        event,
        inviteRoomState: ['{"s":1}'],
      }),
    reply: `{"event": ${event}}`,
    asked: ['PUT', `/_matrix/federation/v2/invite/${id}/%24e`],
    body: '{"event":{"n":1.0,"type":"m.room.member"},"invite_room_state":[{"s":1}],"room_version":"10"}',
    value: event,
    wrong: [{}, { event: 'x' }],
  },
  {
    name: 'invite v1',
    call: () =>
      scene.api.inviteV1(scene.peer.name, {
        roomId: room,
        eventId: '$e',
        roomVersion: '1',
        event,
        inviteRoomState: ['{"s":1}'],
      }),
    reply: `[200, {"event": ${event}}]`,
    asked: ['PUT', `${path}/invite/${id}/%24e`],
    body: '{"n":1.0,"type":"m.room.member","unsigned":{"invite_room_state":[{"s":1}]}}',
    value: event,
    wrong: [[], [200], [200, {}], 'x'],
  },
  {
    name: 'exchange_third_party_invite',
    call: () => scene.api.exchangeThirdPartyInvite(scene.peer.name, room, { type: 'm.room.member' }),
    reply: {},
    asked: ['PUT', `${path}/exchange_third_party_invite/${id}`],
    value: {},
    wrong: [[]],
  },
  {
    name: 'send',
    call: () => scene.api.sendTransaction(scene.peer.name, 'txn/1', `{"pdus":[${event}],"edus":[]}`),
    reply: { pdus: { $a: {}, $b: { error: 'no' } } },
    asked: ['PUT', `${path}/send/txn%2F1`],
    body: '{"edus":[],"pdus":[{"n":1.0,"type":"m.room.member"}]}',
    value: { $a: { error: undefined }, $b: { error: 'no' } },
    wrong: [{ pdus: [1] }],
  },
  {
    name: 'event',
    call: () => scene.api.event(scene.peer.name, '$e'),
    reply: `{"origin":"peer.test","pdus":[${event}]}`,
    asked: ['GET', `${path}/event/%24e`],
    value: event,
    wrong: [{}],
  },
  {
    name: 'state',
    call: () => scene.api.state(scene.peer.name, room, '$e'),
    reply: `{"pdus":[${event}],"auth_chain":[${event},${event}]}`,
    asked: ['GET', `${path}/state/${id}?event_id=%24e`],
    value: { state: list(event), authChain: list(event, event) },
    wrong: [{ pdus: [] }],
  },
  {
    name: 'state_ids',
    call: () => scene.api.stateIds(scene.peer.name, room, '$e'),
    reply: { pdu_ids: ['$a', 5, '$b"'], auth_chain_ids: [] },
    asked: ['GET', `${path}/state_ids/${id}?event_id=%24e`],
    value: { stateIds: ['$a', '$b"'], authChainIds: [] },
    wrong: [{ pdu_ids: [] }],
  },
  {
    name: 'backfill',
    call: () => scene.api.backfill(scene.peer.name, room, ['$a', '$b'], 10),
    reply: `{"pdus":[${event}]}`,
    asked: ['GET', `${path}/backfill/${id}?v=%24a&v=%24b&limit=10`],
    value: [event],
    wrong: [{}],
  },
  {
    name: 'get_missing_events',
    call: () =>
      scene.api.missingEvents(scene.peer.name, room, { earliest: ['$a'], latest: ['$b'], limit: 10, minDepth: 3 }),
    reply: `{"events":[${event}]}`,
    asked: ['POST', `${path}/get_missing_events/${id}`],
    body: '{"earliest_events":["$a"],"latest_events":["$b"],"limit":10,"min_depth":3}',
    value: [event],
    wrong: [{ events: 'x' }],
  },
  {
    name: 'event_auth',
    call: () => scene.api.eventAuth(scene.peer.name, room, '$e'),
    reply: `{"auth_chain":[${event}]}`,
    asked: ['GET', `${path}/event_auth/${id}/%24e`],
    value: [event],
    wrong: [{}],
  },
  {
    name: 'timestamp_to_event',
    call: () => scene.api.timestampToEvent(scene.peer.name, room, 5, 'b'),
    reply: { event_id: '$e', origin_server_ts: 4 },
    asked: ['GET', `${path}/timestamp_to_event/${id}?ts=5&dir=b`],
    value: { eventId: '$e', originServerTs: 4 },
    wrong: [{ event_id: '$e' }],
  },
  {
    name: 'policy sign',
    call: () => scene.api.policySign(scene.peer.name, event),
    reply: { 'peer.test': { 'ed25519:policy_server': 'x' } },
    asked: ['POST', '/_matrix/policy/v1/sign'],
    value: { 'peer.test': { 'ed25519:policy_server': 'x' } },
    wrong: [[]],
  },
  {
    name: 'version',
    call: () => scene.api.version(scene.peer.name),
    reply: { server: { name: 'X', version: '1' } },
    asked: ['GET', `${path}/version`],
    value: { server: { name: 'X', version: '1' } },
    wrong: [{ server: 1 }],
  },
  {
    name: 'query/profile',
    call: () => scene.api.profile(scene.peer.name, '@u:peer.test', 'displayname'),
    reply: { displayname: 'U' },
    asked: ['GET', `${path}/query/profile?user_id=%40u%3Apeer.test&field=displayname`],
    value: { displayname: 'U' },
    wrong: [[]],
  },
  {
    name: 'query/directory',
    call: () => scene.api.directory(scene.peer.name, '#a:peer.test'),
    reply: { room_id: room, servers: ['a'] },
    asked: ['GET', `${path}/query/directory?room_alias=%23a%3Apeer.test`],
    value: { room_id: room, servers: ['a'] },
    wrong: [{}, { room_id: room, servers: [1] }],
  },
  {
    name: 'publicRooms by GET',
    call: () => scene.api.publicRooms(scene.peer.name, { limit: 5, since: 'x' }),
    reply: { chunk: [{ room_id: room, topic: 'T' }], next_batch: 'n' },
    asked: ['GET', `${path}/publicRooms?limit=5&since=x`],
    value: { chunk: [{ room_id: room, topic: 'T' }], next_batch: 'n' },
    wrong: [{}, { chunk: [{}] }],
  },
  {
    name: 'publicRooms by POST',
    call: () => scene.api.publicRooms(scene.peer.name, { limit: 5, filter: { generic_search_term: 'x' } }),
    reply: { chunk: [] },
    asked: ['POST', `${path}/publicRooms`],
    body: '{"filter":{"generic_search_term":"x"},"limit":5}',
    value: { chunk: [] },
    wrong: [{ chunk: 1 }],
  },
  {
    name: 'hierarchy',
    call: () => scene.api.hierarchy(scene.peer.name, room, true),
    reply: { room: { room_id: room, children_state: [] }, children: [], inaccessible_children: ['!x'] },
    asked: ['GET', `${path}/hierarchy/${id}?suggested_only=true`],
    value: { room: { room_id: room, children_state: [] }, children: [], inaccessible_children: ['!x'] },
    wrong: [{}, { room: {} }],
  },
  {
    name: 'user/devices',
    call: () => scene.api.devices(scene.peer.name, '@u:peer.test'),
    reply: { user_id: '@u:peer.test', stream_id: 4, devices: [{ device_id: 'D', keys: {} }] },
    asked: ['GET', `${path}/user/devices/%40u%3Apeer.test`],
    value: { user_id: '@u:peer.test', stream_id: 4, devices: [{ device_id: 'D', keys: {} }] },
    wrong: [
      { user_id: '@u:peer.test', stream_id: 4.5, devices: [] },
      { user_id: '@u:peer.test', stream_id: 4 },
    ],
  },
  {
    name: 'user/keys/query',
    call: () => scene.api.queryKeys(scene.peer.name, { '@u:peer.test': [] }),
    reply: { device_keys: { '@u:peer.test': { D: { k: 1 } } } },
    asked: ['POST', `${path}/user/keys/query`],
    body: '{"device_keys":{"@u:peer.test":[]}}',
    value: { device_keys: { '@u:peer.test': { D: { k: 1 } } }, master_keys: {}, self_signing_keys: {} },
    wrong: [{ device_keys: { a: 1 } }],
  },
  {
    name: 'user/keys/claim',
    call: () => scene.api.claimKeys(scene.peer.name, { '@u:peer.test': { D: 'signed_curve25519' } }),
    reply: { one_time_keys: { '@u:peer.test': { D: { 'signed_curve25519:A': { key: 'x' } } } } },
    asked: ['POST', `${path}/user/keys/claim`],
    body: '{"one_time_keys":{"@u:peer.test":{"D":"signed_curve25519"}}}',
    value: { one_time_keys: { '@u:peer.test': { D: { 'signed_curve25519:A': { key: 'x' } } } } },
    wrong: [{ one_time_keys: 5 }, { one_time_keys: { a: { b: { c: 1 } } } }],
  },
  {
    name: 'openid/userinfo',
    call: () => scene.api.openIdUserInfo(scene.peer.name, 'token'),
    reply: { sub: '@u:peer.test' },
    asked: ['GET', `${path}/openid/userinfo?access_token=token`],
    value: { sub: '@u:peer.test' },
    wrong: [{}],
  },
];

describe('endpoints', () => {
  test.each(cases)('$name asks as the specification says', async ({ call, reply, asked, body, value }) => {
    scene.replying(reply);
    expect(await call()).toEqual({ ok: true, value });
    const [request] = scene.peer.requests;
    expect([request?.method, request?.url]).toEqual(asked);
    if (body !== undefined) expect(request?.body).toBe(body);
    const unsigned = ['/version', '/openid/userinfo'].some((end) => request?.url.includes(end));
    expect(request?.headers.authorization === undefined).toBe(unsigned);
  });

  test.each(cases)('$name refuses other replies', async ({ call, wrong }) => {
    for (const reply of [...wrong, 'no JSON', '{"a":']) {
      scene.replying(reply);
      expect(await call()).toMatchObject({ ok: false, error: { kind: 'bad-reply' } });
    }
  });
});
