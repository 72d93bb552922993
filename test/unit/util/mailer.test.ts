import { describe, expect, test } from '@jest/globals';
import { createMailer, type MailRefused } from '../../../src/util/mailer.ts';
import { startMailServer } from '../../support/mail-server.ts';

const mail = {
  to: 'alice@example.org',
  subject: 'Grüße',
  text: 'Plain words',
  html: '<p>Rich words</p>',
  headers: { 'List-Unsubscribe': '<https://example.org/stop>' },
  messageId: '<one@example.org>',
};
const options = (port: number) => ({
  ...{ host: '127.0.0.1', port, tls: 'never' as const, user: undefined, password: undefined },
  from: 'Example <noreply@example.org>',
});
const refusalOf = (sent: Promise<void>): Promise<MailRefused> =>
  sent.then(
    () => Promise.reject(new Error('it was sent')),
    (error: unknown) => error as MailRefused,
  );

describe('the mailer', () => {
  test('hands over a mail with both bodies and its headers', async () => {
    await using server = await startMailServer();
    using mailer = createMailer(options(server.port));
    await mailer.send(mail);
    const [taken] = server.mails;
    expect([taken?.from, taken?.to]).toEqual(['noreply@example.org', 'alice@example.org']);
    expect(taken?.source).toContain('Plain words');
    expect(taken?.source).toContain('<p>Rich words</p>');
    expect(taken?.source).toContain('Message-ID: <one@example.org>');
    expect(taken?.source).toContain('List-Unsubscribe: <https://example.org/stop>');
    expect(taken?.source).toContain('Auto-Submitted: auto-generated');
  });

  test('tells a refusal for good from one that may pass', async () => {
    await using server = await startMailServer();
    using mailer = createMailer(options(server.port));
    server.refuse('550 no such user');
    expect((await refusalOf(mailer.send(mail))).permanent).toBe(true);
    server.refuse('451 come back later');
    expect((await refusalOf(mailer.send(mail))).permanent).toBe(false);
    await mailer.send(mail);
    expect(server.mails).toHaveLength(1);
  });

  test('does not go on in the clear when encryption is asked for', async () => {
    await using server = await startMailServer();
    using mailer = createMailer({ ...options(server.port), tls: 'starttls' });
    expect((await refusalOf(mailer.send(mail))).permanent).toBe(false);
    expect(server.mails).toEqual([]);
  });

  test('an address is one address, whatever it holds', async () => {
    await using server = await startMailServer();
    using mailer = createMailer(options(server.port));
    await mailer.send({ ...mail, to: 'a@example.org, b@example.org' }).catch(() => undefined);
    await mailer.send({ ...mail, subject: 'one\r\nBcc: eve@example.org' });
    expect(server.mails.at(-1)?.source).not.toMatch(/^Bcc:/m);
    expect(server.mails.map(({ to }) => to)).not.toContain('b@example.org');
  });
});
