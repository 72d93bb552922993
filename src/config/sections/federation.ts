/** Other servers: federation, what this server tells of itself, and TURN. */
import { isNamespacedId, parseServerName, parseUserId } from '../../matrix/ids.ts';
import { duration, flag, list, optional, records, section, text } from '../field.ts';
import { isAddressRange, isHttpUrl } from './checks.ts';

/** A server name with wildcards. */
const serverPattern = text({
  doc: '',
  accepts: 'a server name, in which * and ? may stand for any characters',
  check: (value) => /^[0-9A-Za-z.:[\]*?-]{1,255}$/.test(value),
});

export const turn = section('TURN servers, which carry calls between people who cannot reach each other directly.', {
  uris: list(text({ doc: '', accepts: 'a turn: or turns: address', check: (value) => /^turns?:\S+$/.test(value) }), {
    doc: 'Their addresses, such as turn:turn.example.org?transport=udp. Without any, clients are given none.',
    default: [],
  }),
  shared_secret: optional(
    text({
      doc: 'The secret shared with them (static-auth-secret of coturn), from which passing credentials are made.',
      example: 'a long random text',
    }),
  ),
  username: optional(text({ doc: 'Where they have one user for everybody, his name …', example: 'matrix' })),
  password: optional(text({ doc: '… and his password. shared_secret is better and comes first.', example: 'secret' })),
  ttl: duration({ doc: 'How long credentials are good for.', default: '24h' }),
});

export const federation = section('Speaking with other Matrix servers.', {
  allow_servers: optional(
    list(serverPattern, {
      doc: 'Speak with these servers only; * and ? stand for any characters. Without it: with all.',
      example: ['example.org', '*.example.org'],
    }),
  ),
  deny_servers: list(serverPattern, {
    doc: 'Never speak with these servers; * and ? stand for any characters.',
    default: [],
  }),
  allow_networks: list(
    text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
    {
      doc: 'Private addresses at which other servers may be. All others are refused, however a server is called.',
      default: [],
    },
  ),
  ca_file: optional(
    text({
      doc: 'File with certificate authorities (PEM) that are trusted for other servers beside those of the system.',
      example: 'ca.pem',
    }),
  ),
  trusted_key_servers: list(
    text({ doc: '', accepts: 'a server name', check: (value) => parseServerName(value) !== undefined }),
    {
      doc: 'Servers that are believed when they tell the keys of a server that does not answer itself.',
      default: [],
    },
  ),
  partial_joins: flag({
    doc:
      'Join large rooms of other servers without waiting for their members, which are then fetched in the background. ' +
      'With false, a join takes until all of them are here.',
    default: true,
  }),
  old_signing_keys: records(
    {
      doc: 'Keys that this server signed with before the one in its data folder, so that old events stay valid.',
      default: [],
      example: {
        key_id: 'ed25519:a_abc123',
        public_key: '6yhHGKhCiXTSEN2ksjV7kX+N6rBQZ3Xb+M7LlC6NS+s',
        expired_at: '2026-01-31T12:00:00Z',
      },
    },
    {
      key_id: text({
        doc: 'Its id.',
        required: true,
        accepts: 'ed25519: and letters, digits and _',
        check: (value) => /^ed25519:[A-Za-z0-9_]{1,64}$/.test(value),
      }),
      public_key: text({
        doc: 'The public key.',
        required: true,
        accepts: '43 characters of base64',
        check: (value) => /^[A-Za-z0-9+/_-]{43}=?$/.test(value),
      }),
      expired_at: text({
        doc: 'When it was given up.',
        required: true,
        accepts: 'a date and time such as 2026-01-31T12:00:00Z',
        check: (value) => /^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value)),
      }),
    },
  ),
});

export const wellKnown = section(
  'What is told under /.well-known/matrix/ to whoever looks for this server by its name.',
  {
    server: optional(
      text({
        doc: 'Where other servers reach this one, when that is not the server name at port 8448.',
        accepts: 'a host name or address with an optional port, such as matrix.example.org:443',
        check: (value) => parseServerName(value) !== undefined,
        example: 'matrix.example.org:443',
      }),
    ),
    identity_server: optional(
      text({
        doc: 'The identity server that clients are told to use.',
        accepts: 'an http or https address without query or fragment',
        check: isHttpUrl,
        example: 'https://identity.example.org',
      }),
    ),
    support_page: optional(
      text({
        doc: 'A page that helps the users of this server.',
        accepts: 'an http or https address',
        check: (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
        example: 'https://example.org/support',
      }),
    ),
    contacts: records(
      {
        doc: 'Whom to ask about this server.',
        default: [],
        example: { role: 'm.role.admin', matrix_id: '@admin:example.org', email: 'admin@example.org' },
      },
      {
        role: text({
          doc: 'What for: m.role.admin or m.role.security, or a word of your own such as org.example.role.',
          default: 'm.role.admin',
          accepts: 'a name of small letters, digits, and . _ -',
          check: isNamespacedId,
        }),
        matrix_id: optional(
          text({
            doc: 'Matrix id; this or the mail address is needed.',
            accepts: 'a user id such as @admin:example.org',
            check: (value) => parseUserId(value) !== undefined,
          }),
        ),
        email: optional(
          text({ doc: 'Mail address.', accepts: 'a mail address', check: (value) => /^[^@\s]+@[^@\s]+$/.test(value) }),
        ),
      },
    ),
    policy_server_key: optional(
      text({
        doc: 'Public key of the policy server under this name, if there is one.',
        accepts: '43 characters of base64',
        check: (value) => /^[A-Za-z0-9+/_-]{43}$/.test(value),
        example: '6yhHGKhCiXTSEN2ksjV7kX+N6rBQZ3Xb+M7LlC6NS+s',
      }),
    ),
  },
);
