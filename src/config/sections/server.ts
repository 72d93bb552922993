/** The server itself: its name, data, addresses, limits and process. */
import { parseServerName } from '../../matrix/ids.ts';
import {
  choice,
  flag,
  integer,
  list,
  optional,
  optionalSection,
  positive,
  records,
  section,
  size,
  text,
} from '../field.ts';
import { isAddressRange, isHttpUrl } from './checks.ts';

/** Shorter than an id may be, so that user ids with this name have room for a localpart. */
const isServerName = (name: string): boolean => name.length <= 230 && parseServerName(name) !== undefined;

const rate = (doc: string, perSecond: number, burst: number) =>
  section(doc, {
    per_second: positive({ doc: 'Requests per second that are allowed on average.', default: perSecond }),
    burst: integer({ doc: 'Requests that may come at once.', default: burst, min: 1 }),
  });

export const serverName = text({
  doc:
    'The name of this server: the part after the colon in @alice:example.org. It is written into every user id and ' +
    'every signed event, so a data folder belongs to one name for ever. Use your domain, not the name of the machine.',
  default: 'localhost',
  accepts: 'a host name or address with an optional port, such as example.org',
  check: isServerName,
});

export const dataDir = text({
  doc:
    'Folder for the database, the signing key and whatever else must survive; it is made when missing. A relative ' +
    'path counts from the working directory. This folder is what a backup must hold.',
  default: './neurite-data',
});

export const listeners = records(
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
);

export const publicBaseUrl = optional(
  text({
    doc:
      'Address at which clients reach this server from outside. Needed when it is not https:// and the server name ' +
      '(for the name localhost: the first listener).',
    accepts: 'an http or https address without query or fragment',
    check: isHttpUrl,
    example: 'https://matrix.example.org',
  }),
);

export const trustedProxies = list(
  text({ doc: '', accepts: 'an IP address or a range such as 10.0.0.0/8', check: isAddressRange }),
  {
    doc: "Addresses of reverse proxies whose X-Forwarded-For header is believed. Others' is ignored.",
    default: ['127.0.0.1', '::1'],
  },
);

export const rateLimits = section('How much one user or one address may ask for before 429 M_LIMIT_EXCEEDED.', {
  enabled: flag({ doc: 'false switches every limiter off.', default: true }),
  read: rate('Reading: most GET requests.', 50, 300),
  write: rate('Changes that have no class of their own.', 10, 100),
  message: rate('Sending events.', 10, 60),
  join: rate('Joining rooms.', 1, 20),
  invite: rate('Inviting others.', 1, 20),
  keys: rate('Uploading, querying and claiming encryption keys.', 20, 200),
  remote_invite: rate('Invites by users of other servers, per server, per sender and per invited user.', 0.3, 10),
  federation: rate('Requests of other servers, per server, and of unknown ones, per address.', 100, 1000),
  login: rate('Logging in, per address and per account.', 0.2, 10),
  register: rate('Making accounts, per address.', 0.1, 5),
});

export const limits = section('The size of what is accepted. An event is held to 65,536 bytes by the specification.', {
  request_body: size({
    doc: 'The largest JSON body of a request.',
    default: '4 MiB',
    min: 65_536,
    max: 1024 ** 3,
  }),
  server_requests: integer({
    doc: 'How many requests of one other server are worked on at a time; ten times as many wait, more are refused.',
    default: 20,
    min: 1,
  }),
});

export const storage = section('The database.', {
  cache_size: size({ doc: 'Memory for pages of the database.', default: '64 MiB', min: 1024 ** 2 }),
});

export const workers = section('Threads for signatures, state resolution and passwords.', {
  count: optional(
    integer({
      doc: 'How many at most. Without it: one less than the processors, from 1 to 4.',
      min: 1,
      max: 64,
      example: 2,
    }),
  ),
});

export const log = section('What the server writes to standard output.', {
  level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    doc: 'The least severe messages written.',
    default: 'info',
  }),
  format: choice(['text', 'json'], {
    doc: 'text for people, json (one object a line) for machines.',
    default: 'text',
  }),
});
