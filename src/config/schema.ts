/**
 * Every key of the configuration, in the order of the example file: `sections/` says meaning, unit and default of each. To
 * add a key, add a field there and run `npm run config:example`; validation, the `Config` type, environment variables and
 * the example file follow. Durations are milliseconds and sizes are bytes in `Config`.
 */
import type { ShapeValue } from './field.ts';
import {
  registration,
  recaptcha,
  cas,
  identity,
  sessions,
  presence,
  passwords,
  userDirectory,
  serverNotices,
} from './sections/accounts.ts';
import { turn, federation, wellKnown } from './sections/federation.ts';
import { media, previews } from './sections/media.ts';
import { push, mail } from './sections/notifications.ts';
import { rooms, appservices, sync } from './sections/rooms.ts';
import {
  serverName,
  dataDir,
  listeners,
  publicBaseUrl,
  trustedProxies,
  rateLimits,
  limits,
  storage,
  workers,
  log,
} from './sections/server.ts';

export const schema = {
  server_name: serverName,
  data_dir: dataDir,
  listeners,
  public_base_url: publicBaseUrl,
  trusted_proxies: trustedProxies,
  registration,
  recaptcha,
  cas,
  identity,
  sessions,
  rate_limits: rateLimits,
  rooms,
  appservices,
  sync,
  media,
  previews,
  push,
  mail,
  server_notices: serverNotices,
  user_directory: userDirectory,
  turn,
  federation,
  well_known: wellKnown,
  presence,
  passwords,
  limits,
  storage,
  workers,
  log,
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
