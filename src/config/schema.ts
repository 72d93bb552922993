/**
 * Every key of the configuration: meaning, unit, default. To add a key, add a field here and run
 * `npm run config:example`; validation, the `Config` type, environment variables and the example file follow.
 * Durations are milliseconds and sizes are bytes in `Config`.
 */
import { BlockList, isIP } from 'node:net';
import { isNamespacedId, isValidLocalpartForRegistration, parseServerName, parseUserId } from '../matrix/ids.ts';
import { roomVersions } from '../matrix/room-versions.ts';
import type { MailOptions } from '../util/mailer.ts';
import type { ShapeValue } from './field.ts';
import { choice, duration, flag, integer, list, optional, optionalSection, positive } from './field.ts';
import { records, section, size, text } from './field.ts';

/** Shorter than an id may be, so that user ids with this name have room for a localpart. */
const isServerName = (name: string): boolean => name.length <= 230 && parseServerName(name) !== undefined;

const isHttpUrl = (value: string): boolean =>
  URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && !/[?#]/.test(value);

/** An address, or a range such as 10.0.0.0/8. */
const isAddressRange = (value: string): boolean => {
  const [address = '', prefix] = value.split('/');
  const family = isIP(address);
  if (family === 0) return false;
  if (prefix === undefined) return true;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
};

/** A server name with wildcards. */
const serverPattern = text({
  doc: '',
  accepts: 'a server name, in which * and ? may stand for any characters',
  check: (value) => /^[0-9A-Za-z.:[\]*?-]{1,255}$/.test(value),
});

const rate = (doc: string, perSecond: number, burst: number) =>
  section(doc, {
    per_second: positive({ doc: 'Requests per second that are allowed on average.', default: perSecond }),
    burst: integer({ doc: 'Requests that may come at once.', default: burst, min: 1 }),
  });

export const schema = {
  server_name: text({
    doc:
      'The name of this server: the part after the colon in @alice:example.org. It is written into every user id and ' +
      'every signed event, so a data folder belongs to one name for ever. Use your domain, not the name of the machine.',
    default: 'localhost',
    accepts: 'a host name or address with an optional port, such as example.org',
    check: isServerName,
  }),
  data_dir: text({
    doc:
      'Folder for the database, the signing key and whatever else must survive; it is made when missing. A relative ' +
      'path counts from the working directory. This folder is what a backup must hold.',
    default: './neurite-data',
  }),
  listeners: records(
    {
      doc: 'Where the server listens. Default: one listener on this machine only, for a reverse proxy or a local client.',
      default: [{ address: '127.0.0.1', port: 8008, resources: ['client', 'federation', 'admin'] }],
    },
    {
      address: text({ doc: 'Address to bind; 0.0.0.0 or :: for all.', default: '127.0.0.1' }),
      port: integer({ doc: 'TCP port; 0 takes any free one.', default: 8008, min: 0, max: 65535 }),
      tls: optionalSection('Serve HTTPS. Without it the listener speaks plain HTTP.', {
        cert: text({ doc: 'File with the certificate chain (PEM).', required: true, example: 'fullchain.pem' }),
        key: text({ doc: 'File with the private key (PEM).', required: true, example: 'privkey.pem' }),
      }),
      resources: list(choice(['client', 'federation', 'admin', 'metrics'], { doc: '' }), {
        doc:
          'What is served here: client (client-server API), federation (server-server API and keys), admin (operator ' +
          'API), metrics (Prometheus, on /metrics; it has no password, so bind it to a private address).',
        default: ['client', 'federation', 'admin'],
        nonEmpty: true,
      }),
    },
  ),
  public_base_url: optional(
    text({
      doc:
        'Address at which clients reach this server from outside. Needed when it is not https:// and the server name ' +
        '(for the name localhost: the first listener).',
      accepts: 'an http or https address without query or fragment',
      check: isHttpUrl,
      example: 'https://matrix.example.org',
    }),
  ),
  trusted_proxies: list(
    text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
    {
      doc: "Addresses of reverse proxies whose X-Forwarded-For header is believed. Others' is ignored.",
      default: ['127.0.0.1', '::1'],
    },
  ),
  registration: section('Who may make an account.', {
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
  }),
  recaptcha: section('Captchas by reCAPTCHA or a service that speaks like it.', {
    public_key: optional(text({ doc: 'The site key, which clients are shown.', example: 'from the service' })),
    private_key: optional(text({ doc: 'The secret key.', example: 'from the service' })),
    verify_url: text({
      doc: "Where users' answers are checked.",
      default: 'https://www.google.com/recaptcha/api/siteverify',
      accepts: 'an http or https address without query or fragment',
      check: isHttpUrl,
    }),
  }),
  cas: section('Single sign-on by a CAS server. Its user example is @example of this server.', {
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
  }),
  identity: section('Identity servers, which know the Matrix ids behind e-mail addresses. Users name them.', {
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
  }),
  sessions: section('Logged-in clients.', {
    access_token_lifetime: duration({
      doc:
        'How long an access token is good for clients that can renew it (refresh tokens). Tokens of other clients do not ' +
        'expire.',
      default: '1h',
    }),
  }),
  rate_limits: section('How much one user or one address may ask for before 429 M_LIMIT_EXCEEDED.', {
    enabled: flag({ doc: 'false switches every limiter off.', default: true }),
    read: rate('Reading: most GET requests.', 50, 300),
    write: rate('Changes that have no class of their own.', 10, 100),
    message: rate('Sending events.', 10, 60),
    join: rate('Joining rooms.', 1, 20),
    invite: rate('Inviting others.', 1, 20),
    keys: rate('Uploading, querying and claiming encryption keys.', 20, 200),
    federation: rate('Requests of other servers, per server, and of unknown ones, per address.', 100, 1000),
    login: rate('Logging in, per address and per account.', 0.2, 10),
    register: rate('Making accounts, per address.', 0.1, 5),
  }),
  rooms: section('Rooms.', {
    default_version: choice(
      [...roomVersions.values()].map(({ version }) => version),
      {
        doc: 'Room version of new rooms when the client names none.',
        default: '12',
      },
    ),
    redaction_retention: duration({
      doc: 'How long the original of a redacted event is kept before it is deleted for good.',
      default: '7d',
    }),
    retention: section('How long the history of rooms is kept. State (names, members, rights) is always kept.', {
      honoured: flag({
        doc: 'Whether a room may say how long its messages are kept (m.room.retention): older ones are deleted for good.',
        default: true,
      }),
      default: optional(duration({ doc: 'For rooms that say nothing. Without it: for ever.', example: '365d' })),
      shortest: duration({ doc: 'No room gets less, whatever it says.', default: '1d' }),
      longest: optional(duration({ doc: 'No room that says something gets more.', example: '3650d' })),
    }),
    public_list_without_token: flag({
      doc: 'Whether the published room directory is shown to anyone, not only to who is logged in.',
      default: false,
    }),
  }),
  appservices: list(text({ doc: '', accepts: 'the path of a registration file' }), {
    doc:
      'Registration files of application services (bridges, bots) in the standard YAML form. Relative paths count from ' +
      'the working directory. Their addresses may be private ones.',
    default: [],
  }),
  sync: section('The sync endpoint.', {
    linear_max_entries: integer({
      doc:
        'Up to this many changes since its last sync a client is answered by walking them one by one; behind more, by ' +
        'looking its rooms up. Both give the same answer.',
      default: 1024,
      min: 0,
      max: 65536,
    }),
    timeline_limit: section('Events per room and response.', {
      default: integer({ doc: "When the client's filter names no limit.", default: 10, min: 1 }),
      max: integer({ doc: "The most that a client's filter may ask for.", default: 1000, min: 1 }),
    }),
  }),
  media: section('Files that users upload, and copies of files of other servers.', {
    max_upload_size: size({ doc: 'The largest file that a user may upload.', default: '50 MiB', min: 1024 }),
    max_remote_size: size({
      doc: 'The largest file that is fetched from another server.',
      default: '100 MiB',
      min: 1024,
    }),
    user_quota_size: size({ doc: 'What one user may upload in all; 0 for no limit.', default: '10 GiB' }),
    user_quota_files: integer({ doc: 'How many files one user may upload; 0 for no limit.', default: 100_000, min: 0 }),
    max_pending: integer({
      doc: 'How many media ids one user may hold that have no content yet.',
      default: 20,
      min: 1,
    }),
    pending_expiry: duration({ doc: 'How long such an id waits for its content.', default: '24h' }),
    freeze_unauthenticated: flag({
      doc:
        'Files are only given to who is logged in. false also serves them, and keeps serving those that came meanwhile, ' +
        'to anyone by the old paths, which some bridges and old clients need.',
      default: true,
    }),
    dynamic_thumbnails: flag({
      doc:
        'Make thumbnails in every size that clients ask for. Otherwise the next larger of the usual five sizes is given, ' +
        'or the original.',
      default: false,
    }),
    max_image_pixels: integer({
      doc: 'Images with more pixels get no thumbnails; animations with more, all frames together, only still ones.',
      default: 50_000_000,
      min: 10_000,
      max: 1_000_000_000,
    }),
    retention: section('When files are deleted. Without any of these keys only copies of remote files are.', {
      local: optional(duration({ doc: "Users' own uploads that nobody asked for in this time.", example: '365d' })),
      remote: duration({
        doc: 'Copies of files of other servers that nobody asked for in this time; they can be fetched again.',
        default: '90d',
      }),
      budget: optional(
        size({
          doc:
            'What all files may take on disk. Above it, copies and preview images go first, those that were not asked ' +
            'for the longest, then uploads in the same order.',
          example: '50 GiB',
        }),
      ),
    }),
  }),
  previews: section('Previews of the links in messages. The server fetches the pages that its users name.', {
    enabled: flag({
      doc: 'Off by default: pages learn the address of this server, and a user chooses what it asks for.',
      default: false,
    }),
    allow_networks: list(
      text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
      {
        doc: 'Private addresses that may be fetched from in spite of being private. All others are refused.',
        default: [],
      },
    ),
    timeout: duration({ doc: 'How long one page may take, with its redirects and its image.', default: '15s' }),
    max_page_size: size({ doc: 'How much of a page is read.', default: '1 MiB', min: 1024 }),
    max_image_size: size({ doc: 'The largest image that is taken into a preview.', default: '10 MiB', min: 1024 }),
    cache: duration({ doc: 'How long a preview is shown before the page is fetched again.', default: '1d' }),
    language: text({ doc: 'The language that pages are asked for (Accept-Language).', default: 'en' }),
  }),
  push: section('Notifications that are sent to the gateways of phone apps, at addresses that the apps name.', {
    allow_networks: list(
      text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
      {
        doc: 'Private addresses at which a gateway may be in spite of being private. All others are refused.',
        default: [],
      },
    ),
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
  }),
  mail: section('The mail server by which this server sends e-mail.', {
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
  }),
  server_notices: section('What this server tells a user, in a room of its own with him.', {
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
  }),
  user_directory: section('Searching for people.', {
    search_all_users: flag({
      doc:
        'Whether everyone finds every user of this server. Otherwise people find who shares a room with them, and who ' +
        'is in a room that anybody may join or read.',
      default: false,
    }),
  }),
  turn: section('TURN servers, which carry calls between people who cannot reach each other directly.', {
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
    password: optional(
      text({ doc: '… and his password. shared_secret is better and comes first.', example: 'secret' }),
    ),
    ttl: duration({ doc: 'How long credentials are good for.', default: '24h' }),
  }),
  federation: section('Speaking with other Matrix servers.', {
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
  }),
  well_known: section('What is told under /.well-known/matrix/ to whoever looks for this server by its name.', {
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
  }),
  presence: section('Who is online.', {
    enabled: flag({ doc: 'false: nobody sees when others are online, which saves work.', default: true }),
  }),
  passwords: section('How passwords are hashed (argon2id). Higher values make guessing and logging in slower.', {
    memory: size({
      doc: 'Memory for one hash.',
      default: '19 MiB',
      min: 8 * 1024,
      max: 4 * 1024 ** 3,
    }),
    passes: integer({ doc: 'Passes over that memory.', default: 2, min: 1, max: 1000 }),
  }),
  limits: section('The size of what is accepted. An event is held to 65,536 bytes by the specification.', {
    request_body: size({
      doc: 'The largest JSON body of a request.',
      default: '4 MiB',
      min: 65_536,
      max: 1024 ** 3,
    }),
  }),
  storage: section('The database.', {
    cache_size: size({ doc: 'Memory for pages of the database.', default: '64 MiB', min: 1024 ** 2 }),
  }),
  workers: section('Threads for signatures, state resolution and passwords.', {
    count: optional(
      integer({
        doc: 'How many at most. Without it: one less than the processors, from 1 to 4.',
        min: 1,
        max: 64,
        example: 2,
      }),
    ),
  }),
  log: section('What the server writes to standard output.', {
    level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      doc: 'The least severe messages written.',
      default: 'info',
    }),
    format: choice(['text', 'json'], {
      doc: 'text for people, json (one object a line) for machines.',
      default: 'text',
    }),
  }),
};

/** The whole configuration, validated and deeply frozen. */
export type Config = ShapeValue<typeof schema>;
export type Listener = Config['listeners'][number];

/** Faults that no single key shows: the path that is to blame and what is wrong with it. */
export const crossFaults = (config: Config): { path: string; message: string }[] => {
  const faults: { path: string; message: string }[] = [];
  if (config.sync.timelineLimit.default > config.sync.timelineLimit.max) {
    faults.push({ path: 'sync.timeline_limit.default', message: 'must not be above sync.timeline_limit.max' });
  }
  if (config.mail.host !== undefined && config.mail.from === undefined) {
    faults.push({ path: 'mail.from', message: 'must be given with mail.host' });
  }
  if (config.registration.requireEmail && config.mail.host === undefined) {
    faults.push({ path: 'registration.require_email', message: 'needs mail.host' });
  }
  const { publicKey, privateKey } = config.recaptcha;
  if ((publicKey === undefined) !== (privateKey === undefined)) {
    faults.push({ path: 'recaptcha', message: 'needs both public_key and private_key' });
  }
  if (config.registration.requireCaptcha && publicKey === undefined) {
    faults.push({ path: 'registration.require_captcha', message: 'needs recaptcha.public_key' });
  }
  const { uris, sharedSecret, username, password } = config.turn;
  if (uris.length > 0 && sharedSecret === undefined && (username === undefined || password === undefined)) {
    faults.push({ path: 'turn', message: 'needs shared_secret, or username and password' });
  }
  if (config.listeners.length === 0) {
    faults.push({ path: 'listeners', message: 'must name at least one listener' });
  }
  config.wellKnown.contacts.forEach(({ matrixId, email }, index) => {
    if (matrixId !== undefined || email !== undefined) return;
    faults.push({ path: `well_known.contacts.${index}`, message: 'needs a matrix_id or an email' });
  });
  const seen = new Set<string>();
  config.listeners.forEach(({ address, port }, index) => {
    const place = `${address}:${port}`;
    if (port !== 0 && seen.has(place)) {
      faults.push({ path: `listeners.${index}`, message: `${place} is taken by an earlier listener` });
    }
    seen.add(place);
  });
  return faults;
};

/** The mail server, if there is one. */
export const mailOptions = ({ mail: { host, from, ...mail } }: Pick<Config, 'mail'>): MailOptions | undefined =>
  host === undefined || from === undefined ? undefined : { ...mail, host, from };

/** The address that clients use, without a trailing slash: `public_base_url`, or what follows from the server name. */
export const publicBaseUrl = (config: Pick<Config, 'publicBaseUrl' | 'serverName' | 'listeners'>): string => {
  if (config.publicBaseUrl !== undefined) return config.publicBaseUrl.replace(/\/+$/, '');
  const listener = config.listeners.find(({ resources }) => resources.includes('client'));
  if (config.serverName !== 'localhost' || listener === undefined) return `https://${config.serverName}`;
  return `${listener.tls === undefined ? 'http' : 'https'}://localhost:${listener.port}`;
};

/** `trusted_proxies` as a list to check a peer's address against. */
export const trustedProxyList = (config: Pick<Config, 'trustedProxies'>): BlockList => {
  const trusted = new BlockList();
  for (const range of config.trustedProxies) {
    const [address = '', prefix] = range.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(prefix), family);
  }
  return trusted;
};
