/** Who has an account, how people log in and who is shown to whom. */
import { isValidLocalpartForRegistration, parseServerName } from '../../matrix/ids.ts';
import { choice, duration, flag, integer, list, optional, records, section, size, text } from '../field.ts';
import { isAddressRange, isHttpUrl } from './checks.ts';

export const registration = section('Who may make an account.', {
  mode: choice(['open', 'token', 'closed'], {
    doc: 'open: anyone. token: who knows a registration token. closed: nobody but the operator.',
    default: 'token',
  }),
  token: optional(
    text({
      doc: 'A fixed registration token. Without it a random one is made at the first start and kept in the data folder.',
      accepts: 'up to 64 letters, digits, and . _ ~ -',
      check: (value) => /^[A-Za-z0-9._~-]{1,64}$/.test(value),
      example: 'choose-something-long',
    }),
  ),
  shared_secret: optional(
    text({
      doc:
        'Whoever knows this secret may make accounts, administrators too, by POST /_synapse/admin/v1/register. Used ' +
        'by bridges and scripts. Without it that endpoint is off.',
      example: 'a long random text',
    }),
  ),
  terms: records(
    {
      doc: 'Documents that must be accepted to register.',
      default: [],
      example: { id: 'privacy_policy', version: '1.0', name: 'Privacy policy', url: 'https://example.org/privacy' },
    },
    {
      id: text({
        doc: 'Internal name of the document.',
        required: true,
        accepts: 'letters, digits, and . _ - only',
        check: (value) => /^[A-Za-z0-9._-]{1,64}$/.test(value),
      }),
      version: text({ doc: 'Version of the document.', required: true }),
      language: text({ doc: 'Language of its name and text.', default: 'en' }),
      name: text({ doc: 'Title shown to the user.', required: true }),
      url: text({
        doc: 'Where it can be read.',
        required: true,
        accepts: 'an http or https address',
        check: (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
      }),
    },
  ),
  guests: flag({ doc: 'Whether guests may register, without a password and with few rights.', default: false }),
  require_email: flag({
    doc: 'Who registers must prove an e-mail address (needs mail). Otherwise clients may offer it.',
    default: false,
  }),
  require_captcha: flag({ doc: 'Who registers must solve a captcha (needs recaptcha).', default: false }),
});

export const recaptcha = section('Captchas by reCAPTCHA or a service that speaks like it.', {
  public_key: optional(text({ doc: 'The site key, which clients are shown.', example: 'from the service' })),
  private_key: optional(text({ doc: 'The secret key.', example: 'from the service' })),
  verify_url: text({
    doc: "Where users' answers are checked.",
    default: 'https://www.google.com/recaptcha/api/siteverify',
    accepts: 'an http or https address without query or fragment',
    check: isHttpUrl,
  }),
});

export const cas = section('Single sign-on by a CAS server. Its user example is @example of this server.', {
  server_url: optional(
    text({
      doc: 'Where the CAS server is. Without it there is no single sign-on.',
      accepts: 'an http or https address without query or fragment',
      check: isHttpUrl,
      example: 'https://cas.example.org/cas',
    }),
  ),
  service_url: optional(
    text({
      doc: 'The address of this server as the CAS server knows it. Without it: public_base_url.',
      accepts: 'an http or https address without query or fragment',
      check: isHttpUrl,
      example: 'https://matrix.example.org',
    }),
  ),
  name: text({ doc: 'What clients write on the button.', default: 'Single sign-on' }),
  create_accounts: flag({
    doc: 'Whether who comes for the first time gets an account; otherwise only who has one may come in.',
    default: true,
  }),
  trusted_clients: list(
    text({ doc: '', accepts: 'an http or https address without query or fragment', check: isHttpUrl }),
    {
      doc:
        'Web clients, by address, that users are sent back to at once. For all others a page asks first, so that a ' +
        'foreign page gets into no account.',
      default: [],
    },
  ),
});

export const identity = section(
  'Identity servers, which know the Matrix ids behind e-mail addresses. Users name them.',
  {
    allow_servers: list(
      text({
        doc: '',
        accepts: 'a server name such as vector.im',
        check: (value) => parseServerName(value) !== undefined,
      }),
      { doc: 'The only identity servers that users may name. Empty: any.', default: [] },
    ),
    allow_networks: list(
      text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
      {
        doc: 'Private addresses at which one may be in spite of being private. All others are refused.',
        default: [],
      },
    ),
    timeout: duration({ doc: 'How long one may take to answer.', default: '10s' }),
  },
);

export const sessions = section('Logged-in clients.', {
  access_token_lifetime: duration({
    doc:
      'How long an access token is good for clients that can renew it (refresh tokens). Tokens of other clients do not ' +
      'expire.',
    default: '1h',
  }),
});

export const presence = section('Who is online.', {
  enabled: flag({ doc: 'false: nobody sees when others are online, which saves work.', default: true }),
});

export const passwords = section(
  'How passwords are hashed (argon2id). Higher values make guessing and logging in slower.',
  {
    memory: size({
      doc: 'Memory for one hash.',
      default: '19 MiB',
      min: 8 * 1024,
      max: 4 * 1024 ** 3,
    }),
    passes: integer({ doc: 'Passes over that memory.', default: 2, min: 1, max: 1000 }),
  },
);

export const userDirectory = section('Searching for people.', {
  search_all_users: flag({
    doc:
      'Whether everyone finds every user of this server. Otherwise people find who shares a room with them, and who ' +
      'is in a room that anybody may join or read.',
    default: false,
  }),
});

export const serverNotices = section('What this server tells a user, in a room of its own with him.', {
  localpart: text({
    doc: 'User name of the sender. Nobody can register it.',
    default: '_server',
    accepts: 'a user name: a-z, 0-9 and ._=/+-',
    check: isValidLocalpartForRegistration,
  }),
  display_name: text({ doc: "The sender's display name.", default: 'Server notices' }),
  avatar_url: optional(
    text({
      doc: 'Picture of the sender and the rooms.',
      accepts: 'an mxc: address',
      check: (value) => /^mxc:\/\/[^/]+\/[^/]+$/.test(value),
      example: 'mxc://example.org/abc',
    }),
  ),
  room_name: text({ doc: 'Name of the rooms.', default: 'Server notices' }),
});
