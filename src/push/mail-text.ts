/** The words of the mails that tell of unread messages: plain and HTML, the same in both. */
import type { JsonValue } from '../matrix/json.ts';
import { asString, memberOf } from '../matrix/json.ts';

export interface MailMessage {
  readonly sender: string;
  readonly type: string;
  readonly content: JsonValue | undefined;
  /** ms */
  readonly at: number;
}

export interface MailRoom {
  readonly name: string;
  /** Where the first of the messages can be read. */
  readonly link: string;
  /** Oldest first. */
  readonly messages: readonly MailMessage[];
  /** How many more there are. */
  readonly more: number;
}

export interface MailWords {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface MailFacts {
  readonly serverName: string;
  readonly user: string;
  readonly rooms: readonly MailRoom[];
  /** How many more rooms there are. */
  readonly more: number;
  readonly unsubscribe: string;
}

const maxText = 300;

export function mailWords(facts: MailFacts): MailWords {
  const { rooms, user, serverName, unsubscribe } = facts;
  const total = rooms.reduce((sum, { messages, more }) => sum + messages.length + more, 0);
  const [only] = rooms;
  const where = rooms.length === 1 && facts.more === 0 && only !== undefined ? `in ${only.name}` : `on ${serverName}`;
  const isMore = facts.more > 0;
  const subject = isMore
    ? `More than ${total} unread messages ${where}`
    : `${total} unread ${total === 1 ? 'message' : 'messages'} ${where}`;
  const rest = isMore ? `… and more in ${facts.more} other ${facts.more === 1 ? 'room' : 'rooms'}.` : '';
  const why = `${user} asked ${serverName} for these mails.`;
  const text = [
    ...rooms.map((room) => [room.name, ...linesOf(room).map((line) => `  ${line}`), `  ${room.link}`].join('\n')),
    ...(rest === '' ? [] : [rest]),
    `-- \n${why} To end them: ${unsubscribe}`,
  ].join('\n\n');
  const html = [
    '<!doctype html><html><body>',
    ...rooms.map(
      (room) =>
        `<h3><a href="${escapeHtml(room.link)}">${escapeHtml(room.name)}</a></h3><ul>` +
        `${linesOf(room)
          .map((line) => `<li>${escapeHtml(line)}</li>`)
          .join('')}</ul>`,
    ),
    rest === '' ? '' : `<p>${escapeHtml(rest)}</p>`,
    `<hr><p>${escapeHtml(why)} <a href="${escapeHtml(unsubscribe)}">End them</a></p></body></html>`,
  ].join('');
  return { subject, text, html };
}

const linesOf = ({ messages, more }: MailRoom): string[] => [
  ...messages.map((message) => `${timeOf(message.at)} ${said(message)}`),
  ...(more > 0 ? [`… and ${more} more`] : []),
];

/** `2026-01-31 23:59 UTC` */
const timeOf = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;

const kinds: Readonly<Record<string, string>> = {
  'm.image': 'an image',
  'm.video': 'a video',
  'm.audio': 'an audio file',
  'm.file': 'a file',
  'm.location': 'a location',
};

function said({ sender, type, content }: MailMessage): string {
  const body = shortened(asString(memberOf(content, 'body')) ?? '');
  switch (type) {
    case 'm.room.message': {
      const msgtype = asString(memberOf(content, 'msgtype')) ?? '';
      if (msgtype === 'm.emote') return `* ${sender} ${body}`;
      const kind = kinds[msgtype];
      return kind === undefined ? `${sender}: ${body}` : `${sender} sent ${kind}: ${body}`;
    }
    case 'm.room.encrypted':
      return `${sender} sent an encrypted message`;
    case 'm.room.member':
      return `${sender} invited you`;
    case 'm.call.invite':
      return `${sender} called`;
    default:
      return body === '' ? `${sender} sent something` : `${sender}: ${body}`;
  }
}

function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  const characters = [...line];
  return characters.length <= maxText ? line : `${characters.slice(0, maxText).join('')}…`;
}

/** Text that means nothing to HTML. */
export const escapeHtml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
