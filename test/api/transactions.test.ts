import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { object } from 'valibot';
import { deleteTransactions, pruneTransactions, route } from '../../src/http/index.ts';
import { matrixError } from '../../src/matrix/errors.ts';
import { sql } from '../../src/storage/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { startTestServer, tableAuthenticator, testRequester, type TestServer } from '../support/http.ts';

const selectCount = sql<[], { n: number }>('SELECT count(*) AS n FROM http_transactions');

describe('INVARIANTS 4: transaction ids', () => {
  let server: TestServer;
  let clock: FakeClock;
  let runs: number;
  let gate: Promise<void>;
  let failures: number;

  beforeEach(async () => {
    clock = new FakeClock();
    runs = 0;
    failures = 0;
    gate = Promise.resolve();
    const send = route({
      method: 'PUT',
      path: '/_matrix/client/v3/rooms/:roomId/send/:txnId',
      auth: 'user',
      rate: 'message',
      transaction: 'txnId',
      body: object({}),
      handle: async ({ transaction }) => {
        runs += 1;
        await gate;
        if (failures-- > 0) throw matrixError.forbidden();
        const body = { event_id: `$${runs}` };
        return server.db.write((tx) => {
          transaction?.record(tx, body);
          return body;
        });
      },
    });
    server = await startTestServer([send], {
      clock,
      authenticator: tableAuthenticator({
        one: testRequester('alice'),
        again: testRequester('alice', { tokenId: 2 }),
        two: testRequester('alice', { deviceId: 'OTHER' }),
      }),
    });
  });
  afterEach(() => server.stop());

  const path = '/_matrix/client/v3/rooms/!a:b/send/1';
  const put = (token = 'one', at = path) => server.client.put(at, {}, token);

  test('a repeated request is answered with the first answer, after a refresh of the token too', async () => {
    expect((await put()).json).toEqual({ event_id: '$1' });
    expect((await put()).json).toEqual({ event_id: '$1' });
    expect((await put('again')).json).toEqual({ event_id: '$1' });
    expect((await put('one', '/_matrix/client/r0/rooms/%21a%3Ab/send/1')).json).toEqual({ event_id: '$1' });
    expect(runs).toBe(1);
  });

  test('another device, another path and another id are other requests', async () => {
    await put();
    expect((await put('two')).json).toEqual({ event_id: '$2' });
    expect((await put('one', '/_matrix/client/v3/rooms/!c:b/send/1')).json).toEqual({ event_id: '$3' });
    expect((await put('one', '/_matrix/client/v3/rooms/!a:b/send/2')).json).toEqual({ event_id: '$4' });
  });

  test('a request whose id is in work waits for the answer of the first', async () => {
    const held = Promise.withResolvers<void>();
    gate = held.promise;
    const first = put();
    const second = put();
    const third = put();
    held.resolve();
    expect((await Promise.all([first, second, third])).map(({ json }) => json.event_id)).toEqual(['$1', '$1', '$1']);
    expect(runs).toBe(1);
  });

  test('a request whose forerunner failed runs itself, and a failure is not recorded', async () => {
    failures = 1;
    const held = Promise.withResolvers<void>();
    gate = held.promise;
    const both = [put(), put()];
    held.resolve();
    const answers = (await Promise.all(both)).map(({ status }) => status);
    expect(answers.sort()).toEqual([200, 403]);
    expect(runs).toBe(2);
    failures = 1;
    const other = '/_matrix/client/v3/rooms/!a:b/send/9';
    expect((await put('one', other)).status).toBe(403);
    expect((await put('one', other)).status).toBe(200);
  });

  test('a record rolled back with its unit leaves nothing', async () => {
    await expect(
      server.db.write((tx) => {
        deleteTransactions(tx, '@alice:localhost');
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect((await put()).status).toBe(200);
  });

  test('records die with their device', async () => {
    await put();
    await put('two');
    await server.db.write((tx) => deleteTransactions(tx, '@alice:localhost', 'ALICE1'));
    expect((await put()).json).toEqual({ event_id: '$3' });
    expect((await put('two')).json).toEqual({ event_id: '$2' });
    await server.db.write((tx) => deleteTransactions(tx, '@alice:localhost'));
    expect(server.db.read((snapshot) => snapshot.get(selectCount)?.n)).toBe(0);
  });

  test('old records are forgotten', async () => {
    for (let id = 1; id <= 501; id += 1) await put('one', `/_matrix/client/v3/rooms/!a:b/send/${id}`);
    clock.advance(29 * 86_400_000);
    await put('one', '/_matrix/client/v3/rooms/!a:b/send/502');
    await pruneTransactions(server.db, clock);
    expect(server.db.read((snapshot) => snapshot.get(selectCount)?.n)).toBe(502);
    clock.advance(2 * 86_400_000);
    await pruneTransactions(server.db, clock);
    expect(server.db.read((snapshot) => snapshot.get(selectCount)?.n)).toBe(1);
    clock.advance(29 * 86_400_000);
    await pruneTransactions(server.db, clock);
    expect(server.db.read((snapshot) => snapshot.get(selectCount)?.n)).toBe(0);
  });
});
