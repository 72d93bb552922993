import { describe, expect, test } from '@jest/globals';
import { mailWords, type MailMessage } from '../../../src/push/mail-text.ts';

const message = (type: string, content: MailMessage['content'], sender = 'Bob'): MailMessage => ({
  ...{ sender, type, content },
  at: Date.UTC(2026, 0, 31, 23, 59),
});
const words = (messages: readonly MailMessage[], more = 0, moreRooms = 0) =>
  mailWords({
    serverName: 'example.org',
    user: '@alice:example.org',
    rooms: [{ name: 'Tea & Co', link: 'https://matrix.to/#/!a/$b', messages, more }],
    more: moreRooms,
    unsubscribe: 'https://example.org/stop?token=1.a',
  });

describe('the words of a mail', () => {
  test.each<[string, MailMessage, string]>([
    ['a text', message('m.room.message', { msgtype: 'm.text', body: 'hello' }), 'Bob: hello'],
    ['an emote', message('m.room.message', { msgtype: 'm.emote', body: 'waves' }), '* Bob waves'],
    ['a file', message('m.room.message', { msgtype: 'm.file', body: 'a.pdf' }), 'Bob sent a file: a.pdf'],
    ['an encrypted message', message('m.room.encrypted', { ciphertext: 'x' }), 'Bob sent an encrypted message'],
    ['an invite', message('m.room.member', { membership: 'invite' }), 'Bob invited you'],
    ['a call', message('m.call.invite', {}), 'Bob called'],
    ['anything else', message('org.example', {}), 'Bob sent something'],
    ['lines', message('m.room.message', { msgtype: 'm.text', body: 'a\n\n-- \nb' }), 'Bob: a -- b'],
    ['what is no text', message('m.room.message', { msgtype: 1, body: ['x'] }), 'Bob: '],
  ])('tell %s in one line', (_, one, line) => {
    const { text, html } = words([one]);
    expect(text).toContain(`  2026-01-31 23:59 UTC ${line}\n`);
    expect(html).toContain(`<li>2026-01-31 23:59 UTC ${line}</li>`);
  });

  test('cut long messages between characters and keep HTML out of HTML', () => {
    const { text, html } = words([message('m.room.message', { msgtype: 'm.text', body: `<b>${'😀'.repeat(400)}` })]);
    expect(text).toContain(`<b>${'😀'.repeat(297)}…`);
    expect(html).toContain('&#60;b&#62;');
    expect(html).toContain('Tea &#38; Co');
    expect(html).not.toContain('<b>');
  });

  test('say how much there is', () => {
    const one = message('m.room.message', { msgtype: 'm.text', body: 'hello' });
    expect(words([one]).subject).toBe('1 unread message in Tea & Co');
    expect(words([one, one], 3).subject).toBe('5 unread messages in Tea & Co');
    expect(words([one, one], 3).text).toContain('… and 3 more');
    expect(words([one], 0, 2).subject).toBe('More than 1 unread messages on example.org');
    expect(words([one], 0, 1).text).toContain('… and more in 1 other room.');
    expect(words([one]).text).toContain('To end them: https://example.org/stop?token=1.a');
  });
});
