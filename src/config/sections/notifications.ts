/** Push notifications and mail. */
import { choice, duration, flag, integer, list, optional, section, text } from '../field.ts';
import { isAddressRange } from './checks.ts';

export const push = section(
  'Notifications that are sent to the gateways of phone apps, at addresses that the apps name.',
  {
    allow_networks: list(
      text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
      {
        doc: 'Private addresses at which a gateway may be in spite of being private. All others are refused.',
        default: [],
      },
    ),
    text_mentions: flag({
      doc:
        'Whether a name or @room in the text of a message is a mention, as it was before version 1.17 of the ' +
        'specification, unless the message says itself whom it mentions. For users with old clients and bots; costs a ' +
        'look at every local member of a room for each such message.',
      default: false,
    }),
    timeout: duration({ doc: 'How long a gateway may take to answer one notification.', default: '15s' }),
    retry: section('Notifications that a gateway did not take are tried again after a growing pause.', {
      first: duration({ doc: 'The first pause; each further one is twice as long.', default: '1s' }),
      longest: duration({ doc: 'The longest pause.', default: '1h' }),
      give_up: duration({
        doc: 'A notification that a gateway did not take for this long is dropped; the newer ones are still sent.',
        default: '1d',
      }),
    }),
    mail: section('Mails about messages that a user has not read, for users who asked for them (needs mail).', {
      delay: duration({ doc: 'How long a message may stay unread before a mail tells of it.', default: '10m' }),
      interval: duration({
        doc: 'The pause between two mails to a user. It doubles, up to a day, while he reads nothing.',
        default: '1h',
      }),
    }),
  },
);

export const mail = section('The mail server by which this server sends e-mail.', {
  host: optional(text({ doc: 'Its name or address. Without it no mails are sent.', example: 'smtp.example.org' })),
  port: integer({ doc: 'Its TCP port.', default: 587, min: 1, max: 65535 }),
  tls: choice(['starttls', 'always', 'never'], {
    doc:
      'starttls: begin in the clear and go on encrypted or not at all (port 587). always: encrypted from the start ' +
      '(port 465). never: in the clear, for a mail server on this machine.',
    default: 'starttls',
  }),
  user: optional(text({ doc: 'Name to log in with.', example: 'neurite' })),
  password: optional(text({ doc: 'Password to log in with.', example: 'a long random text' })),
  from: optional(
    text({
      doc: 'The sender of all mails; needed with host.',
      accepts: 'an e-mail address, or a name and an address such as Example <noreply@example.org>',
      check: (value) => /^(?:[^<>@\r\n]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)$/.test(value),
      example: 'Example <noreply@example.org>',
    }),
  ),
});
