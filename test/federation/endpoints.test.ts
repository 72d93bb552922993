import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { FedClient } from '../../src/fedclient/index.ts';
import { TextList } from '../../src/fedclient/text-list.ts';
import type { Result } from '../../src/util/result.ts';
import { sendJson, startFed, startKeyedPeer, startPeer, TestNetwork } from '../support/federation.ts';
import type { KeyedPeer, PeerHandler, TestFed } from '../support/federation.ts';

let network: TestNetwork;
let peer: KeyedPeer;
let us: TestFed;
let api: FedClient['api'];
let answer: PeerHandler;

beforeAll(async () => {
  network = new TestNetwork();
  peer = await startKeyedPeer(network, 'peer.test', (request, response) => answer(request, response));
  us = await startFed(network);
  ({ api } = us.fed);
});
afterAll(async () => {
  await us[Symbol.asyncDispose]();
  await peer[Symbol.asyncDispose]();
});
beforeEach(() => {
  peer.requests.length = 0;
});

const replying = (body: unknown) => {
  answer = (_, response) => (typeof body === 'string' ? void response.end(body) : sendJson(response, body));
};
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
    call: () => api.makeJoin(peer.name, room, '@u:us.test', ['9', '10']),
    reply: template,
    asked: ['GET', `${path}/make_join/${id}/%40u%3Aus.test?ver=9&ver=10`],
    value: made,
    wrong: [{}, { event: [] }, { event: {}, room_version: 10 }],
  },
  {
    name: 'send_join',
    call: () => api.sendJoin(peer.name, room, '$e', event, true),
    reply: `{"state":[${event}, {"x":2}],"auth_chain":[],"event":${event},"members_omitted":true,"servers_in_room":["a"]}`,
    asked: ['PUT', `/_matrix/federation/v2/send_join/${id}/%24e?omit_members=true`],
    body: '{"n":1.0,"type":"m.room.member"}',
    value: { state: list(event, '{"x":2}'), authChain: list(), event, membersOmitted: true, serversInRoom: ['a'] },
    wrong: [{ state: [] }, { auth_chain: [] }, { state: {}, auth_chain: [] }, { state: [], auth_chain: [], event: 1 }],
  },
  {
    name: 'make_leave',
    call: () => api.makeLeave(peer.name, room, '@u:us.test'),
    reply: template,
    asked: ['GET', `${path}/make_leave/${id}/%40u%3Aus.test`],
    value: made,
    wrong: [[]],
  },
  {
    name: 'send_leave',
    call: () => api.sendLeave(peer.name, room, '$e', event),
    reply: {},
    asked: ['PUT', `/_matrix/federation/v2/send_leave/${id}/%24e`],
    value: {},
    wrong: [[200, {}]],
  },
  {
    name: 'make_knock',
    call: () => api.makeKnock(peer.name, room, '@u:us.test', ['7']),
    reply: template,
    asked: ['GET', `${path}/make_knock/${id}/%40u%3Aus.test?ver=7`],
    value: made,
    wrong: [{ room_version: '7' }],
  },
  {
    name: 'send_knock',
    call: () => api.sendKnock(peer.name, room, '$e', event),
    reply: `{"knock_room_state":[${event}]}`,
    asked: ['PUT', `${path}/send_knock/${id}/%24e`],
    value: [event],
    wrong: [{}, { knock_room_state: null }],
  },
  {
    name: 'invite v2',
    call: () =>
      api.inviteV2(peer.name, { roomId: room, eventId: '$e', roomVersion: '10', event, inviteRoomState: ['{"s":1}'] }),
    reply: `{"event": ${event}}`,
    asked: ['PUT', `/_matrix/federation/v2/invite/${id}/%24e`],
    body: '{"event":{"n":1.0,"type":"m.room.member"},"invite_room_state":[{"s":1}],"room_version":"10"}',
    value: event,
    wrong: [{}, { event: 'x' }],
  },
  {
    name: 'invite v1',
    call: () =>
      api.inviteV1(peer.name, { roomId: room, eventId: '$e', roomVersion: '1', event, inviteRoomState: ['{"s":1}'] }),
    reply: `[200, {"event": ${event}}]`,
    asked: ['PUT', `${path}/invite/${id}/%24e`],
    body: '{"n":1.0,"type":"m.room.member","unsigned":{"invite_room_state":[{"s":1}]}}',
    value: event,
    wrong: [[], [200], [200, {}], 'x'],
  },
  {
    name: 'exchange_third_party_invite',
    call: () => api.exchangeThirdPartyInvite(peer.name, room, { type: 'm.room.member' }),
    reply: {},
    asked: ['PUT', `${path}/exchange_third_party_invite/${id}`],
    value: {},
    wrong: [[]],
  },
  {
    name: 'send',
    call: () => api.sendTransaction(peer.name, 'txn/1', `{"pdus":[${event}],"edus":[]}`),
    reply: { pdus: { $a: {}, $b: { error: 'no' } } },
    asked: ['PUT', `${path}/send/txn%2F1`],
    body: '{"edus":[],"pdus":[{"n":1.0,"type":"m.room.member"}]}',
    value: { $a: { error: undefined }, $b: { error: 'no' } },
    wrong: [{ pdus: [1] }],
  },
  {
    name: 'event',
    call: () => api.event(peer.name, '$e'),
    reply: `{"origin":"peer.test","pdus":[${event}]}`,
    asked: ['GET', `${path}/event/%24e`],
    value: event,
    wrong: [{}],
  },
  {
    name: 'state',
    call: () => api.state(peer.name, room, '$e'),
    reply: `{"pdus":[${event}],"auth_chain":[${event},${event}]}`,
    asked: ['GET', `${path}/state/${id}?event_id=%24e`],
    value: { state: list(event), authChain: list(event, event) },
    wrong: [{ pdus: [] }],
  },
  {
    name: 'state_ids',
    call: () => api.stateIds(peer.name, room, '$e'),
    reply: { pdu_ids: ['$a', 5, '$b"'], auth_chain_ids: [] },
    asked: ['GET', `${path}/state_ids/${id}?event_id=%24e`],
    value: { stateIds: ['$a', '$b"'], authChainIds: [] },
    wrong: [{ pdu_ids: [] }],
  },
  {
    name: 'backfill',
    call: () => api.backfill(peer.name, room, ['$a', '$b'], 10),
    reply: `{"pdus":[${event}]}`,
    asked: ['GET', `${path}/backfill/${id}?v=%24a&v=%24b&limit=10`],
    value: [event],
    wrong: [{}],
  },
  {
    name: 'get_missing_events',
    call: () => api.missingEvents(peer.name, room, { earliest: ['$a'], latest: ['$b'], limit: 10, minDepth: 3 }),
    reply: `{"events":[${event}]}`,
    asked: ['POST', `${path}/get_missing_events/${id}`],
    body: '{"earliest_events":["$a"],"latest_events":["$b"],"limit":10,"min_depth":3}',
    value: [event],
    wrong: [{ events: 'x' }],
  },
  {
    name: 'event_auth',
    call: () => api.eventAuth(peer.name, room, '$e'),
    reply: `{"auth_chain":[${event}]}`,
    asked: ['GET', `${path}/event_auth/${id}/%24e`],
    value: [event],
    wrong: [{}],
  },
  {
    name: 'timestamp_to_event',
    call: () => api.timestampToEvent(peer.name, room, 5, 'b'),
    reply: { event_id: '$e', origin_server_ts: 4 },
    asked: ['GET', `${path}/timestamp_to_event/${id}?ts=5&dir=b`],
    value: { eventId: '$e', originServerTs: 4 },
    wrong: [{ event_id: '$e' }],
  },
  {
    name: 'policy sign',
    call: () => api.policySign(peer.name, event),
    reply: { 'peer.test': { 'ed25519:policy_server': 'x' } },
    asked: ['POST', '/_matrix/policy/v1/sign'],
    value: { 'peer.test': { 'ed25519:policy_server': 'x' } },
    wrong: [[]],
  },
  {
    name: 'version',
    call: () => api.version(peer.name),
    reply: { server: { name: 'X', version: '1' } },
    asked: ['GET', `${path}/version`],
    value: { server: { name: 'X', version: '1' } },
    wrong: [{ server: 1 }],
  },
  {
    name: 'query/profile',
    call: () => api.profile(peer.name, '@u:peer.test', 'displayname'),
    reply: { displayname: 'U' },
    asked: ['GET', `${path}/query/profile?user_id=%40u%3Apeer.test&field=displayname`],
    value: { displayname: 'U' },
    wrong: [[]],
  },
  {
    name: 'query/directory',
    call: () => api.directory(peer.name, '#a:peer.test'),
    reply: { room_id: room, servers: ['a'] },
    asked: ['GET', `${path}/query/directory?room_alias=%23a%3Apeer.test`],
    value: { room_id: room, servers: ['a'] },
    wrong: [{}, { room_id: room, servers: [1] }],
  },
  {
    name: 'publicRooms by GET',
    call: () => api.publicRooms(peer.name, { limit: 5, since: 'x' }),
    reply: { chunk: [{ room_id: room, topic: 'T' }], next_batch: 'n' },
    asked: ['GET', `${path}/publicRooms?limit=5&since=x`],
    value: { chunk: [{ room_id: room, topic: 'T' }], next_batch: 'n' },
    wrong: [{}, { chunk: [{}] }],
  },
  {
    name: 'publicRooms by POST',
    call: () => api.publicRooms(peer.name, { limit: 5, filter: { generic_search_term: 'x' } }),
    reply: { chunk: [] },
    asked: ['POST', `${path}/publicRooms`],
    body: '{"filter":{"generic_search_term":"x"},"limit":5}',
    value: { chunk: [] },
    wrong: [{ chunk: 1 }],
  },
  {
    name: 'hierarchy',
    call: () => api.hierarchy(peer.name, room, true),
    reply: { room: { room_id: room, children_state: [] }, children: [], inaccessible_children: ['!x'] },
    asked: ['GET', `${path}/hierarchy/${id}?suggested_only=true`],
    value: { room: { room_id: room, children_state: [] }, children: [], inaccessible_children: ['!x'] },
    wrong: [{}, { room: {} }],
  },
  {
    name: 'user/devices',
    call: () => api.devices(peer.name, '@u:peer.test'),
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
    call: () => api.queryKeys(peer.name, { '@u:peer.test': [] }),
    reply: { device_keys: { '@u:peer.test': { D: { k: 1 } } } },
    asked: ['POST', `${path}/user/keys/query`],
    body: '{"device_keys":{"@u:peer.test":[]}}',
    value: { device_keys: { '@u:peer.test': { D: { k: 1 } } }, master_keys: {}, self_signing_keys: {} },
    wrong: [{ device_keys: { a: 1 } }],
  },
  {
    name: 'user/keys/claim',
    call: () => api.claimKeys(peer.name, { '@u:peer.test': { D: 'signed_curve25519' } }),
    reply: { one_time_keys: { '@u:peer.test': { D: { 'signed_curve25519:A': { key: 'x' } } } } },
    asked: ['POST', `${path}/user/keys/claim`],
    body: '{"one_time_keys":{"@u:peer.test":{"D":"signed_curve25519"}}}',
    value: { one_time_keys: { '@u:peer.test': { D: { 'signed_curve25519:A': { key: 'x' } } } } },
    wrong: [{ one_time_keys: 5 }, { one_time_keys: { a: { b: { c: 1 } } } }],
  },
  {
    name: 'openid/userinfo',
    call: () => api.openIdUserInfo(peer.name, 'token'),
    reply: { sub: '@u:peer.test' },
    asked: ['GET', `${path}/openid/userinfo?access_token=token`],
    value: { sub: '@u:peer.test' },
    wrong: [{}],
  },
];

describe('endpoints', () => {
  test.each(cases)('$name asks as the specification says', async ({ call, reply, asked, body, value }) => {
    replying(reply);
    expect(await call()).toEqual({ ok: true, value });
    const [request] = peer.requests;
    expect([request?.method, request?.url]).toEqual(asked);
    if (body !== undefined) expect(request?.body).toBe(body);
    const unsigned = ['/version', '/openid/userinfo'].some((end) => request?.url.includes(end));
    expect(request?.headers.authorization === undefined).toBe(unsigned);
  });

  test.each(cases)('$name refuses other replies', async ({ call, wrong }) => {
    for (const reply of [...wrong, 'no JSON', '{"a":']) {
      replying(reply);
      expect(await call()).toMatchObject({ ok: false, error: { kind: 'bad-reply' } });
    }
  });
});

describe('files of other servers', () => {
  const request = { timeoutMs: 5000, maxSize: 100_000 };
  const multipart =
    (headers: string, body: string): PeerHandler =>
    (_, response) =>
      void response
        .writeHead(200, { 'Content-Type': 'multipart/mixed; boundary=B' })
        .end(`--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n${headers}\r\n${body}\r\n--B--\r\n`);
  const text = async (pieces: AsyncIterable<Buffer>): Promise<string> => {
    let all = '';
    for await (const piece of pieces) all += piece.toString();
    return all;
  };

  test('come out of the multipart answer', async () => {
    answer = multipart('Content-Type: image/png\r\nContent-Disposition: inline; filename=a.png\r\n', 'PNG');
    const file = await api.downloadMedia(peer.name, 'abc', request);
    if (!file.ok) throw new Error('no file');
    expect(file.value).toMatchObject({ contentType: 'image/png', filename: 'a.png' });
    expect(await text(file.value.pieces)).toBe('PNG');
    expect(peer.requests[0]?.url).toBe('/_matrix/federation/v1/media/download/abc?timeout_ms=5000');
  });

  test('are thumbnails too', async () => {
    answer = multipart('Content-Type: image/png\r\n', 'PNG');
    const wish = { width: 3, height: 4, method: 'crop', animated: undefined } as const;
    const file = await api.downloadThumbnail(peer.name, 'abc', wish, request);
    expect(file.ok && (await text(file.value.pieces))).toBe('PNG');
    expect(peer.requests[0]?.url).toBe(
      '/_matrix/federation/v1/media/thumbnail/abc?width=3&height=4&method=crop&timeout_ms=5000',
    );
  });

  test('are fetched from the place that the answer names', async () => {
    await using store = await startPeer(
      network,
      ['store.test'],
      (_, response) => void response.writeHead(200, { 'Content-Type': 'text/plain' }).end('stored'),
    );
    network.hosts.set('store.test', ['127.0.0.1']);
    answer = multipart(`Location: https://store.test:${store.port}/x?sig=1\r\n`, '');
    const file = await api.downloadMedia(peer.name, 'abc', request);
    expect(file.ok && (await text(file.value.pieces))).toBe('stored');
    expect(store.requests[0]).toMatchObject({ url: '/x?sig=1' });
    expect(store.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('are not fetched from inner networks or without TLS', async () => {
    for (const place of ['https://10.0.0.1/x', 'http://store.test/', 'file:///etc/passwd', 'junk']) {
      answer = multipart(`Location: ${place}\r\n`, '');
      expect(await api.downloadMedia(peer.name, 'abc', request)).toMatchObject({ ok: false });
    }
  });

  test.each([{ errcode: 'M_UNRECOGNIZED', error: 'no' }, {}])(
    'come by the older path from servers that know no other: %j',
    async (unknown) => {
      answer = (incoming, response) => {
        if (incoming.url.startsWith('/_matrix/federation/')) return sendJson(response, unknown, 404);
        response.writeHead(200, { 'Content-Type': 'text/plain' }).end('old');
      };
      const file = await api.downloadMedia(peer.name, 'abc', request);
      expect(file.ok && (await text(file.value.pieces))).toBe('old');
      expect(peer.requests[1]?.url).toBe(
        `/_matrix/media/v3/download/${encodeURIComponent(peer.name)}/abc?timeout_ms=5000&allow_remote=false`,
      );
      expect(peer.requests[1]?.headers.authorization).toBeUndefined();
    },
  );

  test('are not asked for by the older path when they are just not there', async () => {
    answer = (_, response) => sendJson(response, { errcode: 'M_NOT_FOUND', error: 'no' }, 404);
    expect(await api.downloadMedia(peer.name, 'abc', request)).toMatchObject({ ok: false, error: { status: 404 } });
    expect(peer.requests).toHaveLength(1);
  });

  test('that are too large or cut off fail while they are read', async () => {
    answer = multipart('', 'x'.repeat(500_000));
    const large = await api.downloadMedia(peer.name, 'abc', request);
    await expect(large.ok ? text(large.value.pieces) : undefined).rejects.toThrow('larger');
    answer = (_, response) => {
      response.writeHead(200, { 'Content-Type': 'multipart/mixed; boundary=B' });
      response.end('--B\r\n\r\n{}\r\n--B\r\n\r\nhalf of it');
    };
    const cut = await api.downloadMedia(peer.name, 'abc', request);
    await expect(cut.ok ? text(cut.value.pieces) : undefined).rejects.toThrow('cut off');
  });

  test('leave nothing behind when their reader goes', async () => {
    answer = multipart('', 'x'.repeat(90_000));
    const file = await api.downloadMedia(peer.name, 'abc', request);
    if (!file.ok) throw new Error('no file');
    for await (const _piece of file.value.pieces) break;
    answer = multipart('', 'next');
    const next = await api.downloadMedia(peer.name, 'abc', request);
    expect(next.ok && (await text(next.value.pieces))).toBe('next');
  });
});
