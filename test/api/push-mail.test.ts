import { describe, expect, test } from '@jest/globals';
import type { UserId } from '../../src/matrix/ids.ts';
import { startMailServer, type TakenMail, type TestMailServer } from '../support/mail-server.ts';
import { firstPause, pushersOf, readUpTo, startPushServer, type PushServer } from '../support/push.ts';
import { openRoom, say, v3 } from '../support/userapi.ts';
import { testConfig } from '../support/http.ts';

const enc = encodeURIComponent;
const address = 'alice@example.org';
const delay = 600_000;
const interval = 3_600_000;

/** Alice has shown that an address is hers and asks for mails there. */
async function startMailing(mails: TestMailServer): Promise<PushServer> {
  const mail = { ...testConfig().mail, host: '127.0.0.1', port: mails.port, tls: 'never' as const };
  const server = await startPushServer({
    mail: { ...mail, from: 'noreply@example.org' },
    publicBaseUrl: 'https://m.example.org',
  });
  const { db, users, alice } = server;
  await db.write((tx) => users.threepids.replace(tx, alice.userId as UserId, [{ medium: 'email', address }]));
  return server;
}

const askForMails = ({ client, alice }: PushServer, pushkey = address) =>
  client.post(
    `${v3}/pushers/set`,
    {
      kind: 'email',
      app_id: 'm.email',
      pushkey,
      app_display_name: 'Mail',
      device_display_name: pushkey,
      lang: 'en',
      data: {},
    },
    alice.token,
  );

/** Header and body of a mail as people see them: quoted-printable undone. */
const readable = (mail: TakenMail | undefined): string =>
  (mail?.source ?? '').replaceAll('=\n', '').replaceAll('=3D', '=').replaceAll('\n ', ' ');

describe('mails about unread messages', () => {
  test('gather what stays unread for a while into one mail, and end by the link in it', async () => {
    await using mails = await startMailServer();
    await using server = await startMailing(mails);
    const { client, clock, alice, bob, roomId } = server;
    expect((await askForMails(server)).status).toBe(200);
    const tea = await openRoom(client, bob, alice);
    await client.put(`${v3}/rooms/${enc(tea)}/state/m.room.name/`, { name: 'Tea <b>' }, bob.token);
    await say(client, roomId, bob, { body: 'first' });
    await clock.sleeper(delay);
    clock.advance(60_000);
    await say(client, tea, bob, { body: 'is it <ready>?' });
    const read = await say(client, roomId, bob, { msgtype: 'm.image', body: 'cat.png' });
    expect(mails.mails).toEqual([]);
    clock.advance(delay - 60_000);
    await mails.taken(1);
    const text = readable(mails.mails[0]);
    expect(mails.mails[0]?.to).toBe(address);
    expect(text).toContain('Subject: 3 unread messages on localhost');
    expect(text).toContain('bob: first');
    expect(text).toContain('is it <ready>?');
    expect(text).toContain('is it &#60;ready&#62;?');
    expect(text).toContain('sent an image: cat.png');
    expect(text).toContain('Tea &#60;b&#62;');
    const link = /List-Unsubscribe: <(https:\/\/m\.example\.org(\/[^>]+))>/.exec(text);
    expect(text).toContain('List-Unsubscribe-Post: List-Unsubscribe=One-Click');
    await readUpTo(server, alice, roomId, read);

    const page = await client.get(link?.[2] ?? '');
    expect([page.status, page.text.includes(address)]).toEqual([200, true]);
    expect(await pushersOf(server, alice)).toHaveLength(1);
    expect((await client.post(`${link?.[2]?.slice(0, -1)}x`, 'List-Unsubscribe=One-Click')).status).toBe(200);
    expect(await pushersOf(server, alice)).toHaveLength(1);
    expect((await client.post(link?.[2] ?? '', 'List-Unsubscribe=One-Click')).status).toBe(200);
    expect(await pushersOf(server, alice)).toEqual([]);
    expect((await client.get(link?.[2] ?? '')).status).toBe(404);
  });

  test('tell nothing that is read in time, and come more rarely to who reads nothing', async () => {
    await using mails = await startMailServer();
    await using server = await startMailing(mails);
    const { client, clock, alice, bob, roomId } = server;
    const { delivery } = server.modules.push;
    await askForMails(server);
    const first = await say(client, roomId, bob, { body: 'read at once' });
    await clock.sleeper(delay);
    await readUpTo(server, alice, roomId, first);
    await delivery.settled();
    clock.advance(delay);
    for (const [index, pause] of [delay, interval].entries()) {
      await say(client, roomId, bob, { body: `unread ${index}` });
      await clock.sleeper(pause);
      clock.advance(pause);
      await mails.taken(index + 1);
      await delivery.settled();
      expect(readable(mails.mails[index])).toContain(`unread ${index}`);
      expect(readable(mails.mails[index])).not.toContain('read at once');
    }
    const third = await say(client, roomId, bob, { body: 'unread 2' });
    await clock.sleeper(2 * interval);
    await readUpTo(server, alice, roomId, third);
    await delivery.settled();
    await say(client, roomId, bob, { body: 'after reading' });
    await clock.sleeper(interval);
    expect(mails.mails).toHaveLength(2);
  });

  test('are tried again when the mail server is down, and not when it says no for good', async () => {
    await using mails = await startMailServer();
    await using server = await startMailing(mails);
    const { client, clock, bob, roomId } = server;
    await askForMails(server);
    mails.refuse('451 later');
    await say(client, roomId, bob, { body: 'one' });
    await clock.sleeper(delay);
    clock.advance(delay);
    await clock.sleeper(firstPause);
    clock.advance(firstPause);
    await mails.taken(1);
    await server.modules.push.delivery.settled();
    mails.refuse('550 never');
    await say(client, roomId, bob, { body: 'two' });
    await clock.sleeper(interval);
    clock.advance(interval);
    await server.modules.push.delivery.settled();
    await say(client, roomId, bob, { body: 'three' });
    await clock.sleeper(2 * interval);
    clock.advance(2 * interval);
    await mails.taken(2);
    expect(readable(mails.mails[1])).toContain('three');
    expect(readable(mails.mails[1])).not.toContain('two');
  });

  test('go only to addresses of the account, as long as they are that', async () => {
    await using mails = await startMailServer();
    await using server = await startMailing(mails);
    const { client, clock, db, users, alice, bob, roomId } = server;
    expect((await askForMails(server, 'eve@example.org')).json.errcode).toBe('M_THREEPID_NOT_FOUND');
    expect((await askForMails(server, 'Alice@Example.org')).status).toBe(200);
    await db.write((tx) => void users.threepids.replace(tx, alice.userId as UserId, []));
    await say(client, roomId, bob);
    await server.modules.push.delivery.settled();
    expect(await pushersOf(server, alice)).toEqual([]);
    clock.advance(delay);
    expect(mails.mails).toEqual([]);
  });
});
