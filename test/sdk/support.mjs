/** What the SDK scenarios share: clients with Rust crypto, waiting for a condition, steps that say their names. */
import { createClient, ClientEvent, MemoryStore } from 'matrix-js-sdk';
import { logger as sdkLogger } from 'matrix-js-sdk/lib/logger.js';

sdkLogger.setLevel?.(process.env.SDK_LOG ?? 'silent');
for (const name of ['debug', 'info', 'log', 'warn', 'trace']) {
  const original = console[name].bind(console);
  if (name !== 'log') console[name] = process.env.SDK_LOG === undefined ? () => undefined : original;
}

/** Prints one JSON line per finished step; the jest test reads them. */
export async function step(name, work) {
  const started = performance.now();
  const value = await work();
  process.stdout.write(`${JSON.stringify({ step: name, ms: Math.round(performance.now() - started) })}\n`);
  return value;
}

/** Polls `probe` until it gives something truthy. */
export async function until(what, probe, ms = 20_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Registers an account, with dummy authentication or with a registration token. */
export async function register(baseUrl, username, password) {
  const token = process.env.REGISTRATION_TOKEN;
  const client = createClient({ baseUrl });
  const auth = token ? { type: 'm.login.registration_token', token } : { type: 'm.login.dummy' };
  let session;
  if (token) {
    try {
      await client.registerRequest({ username, password });
    } catch (error) {
      session = error.data?.session;
    }
  }
  const reply = await client.registerRequest({
    username,
    password,
    initial_device_display_name: `${username} 1`,
    auth: session ? { ...auth, session } : auth,
  });
  return { userId: reply.user_id, deviceId: reply.device_id, accessToken: reply.access_token };
}

export async function login(baseUrl, username, password) {
  const reply = await createClient({ baseUrl }).loginRequest({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: username },
    password,
  });
  return { userId: reply.user_id, deviceId: reply.device_id, accessToken: reply.access_token };
}

/** A syncing client with encryption. Secret storage keys it is given are kept in `secrets`. */
export async function start(baseUrl, session, secrets) {
  const client = createClient({
    baseUrl,
    ...session,
    store: new MemoryStore({ localStorage: undefined }),
    timelineSupport: true,
    verificationMethods: ['m.sas.v1'],
    cryptoCallbacks: {
      getSecretStorageKey: async ({ keys }) => {
        const [id] = Object.keys(keys);
        return secrets.key === undefined || id === undefined ? null : [id, secrets.key];
      },
      cacheSecretStorageKey: (id, info, key) => {
        secrets.key = key;
      },
    },
  });
  await client.initRustCrypto({ useIndexedDB: false });
  await client.startClient({ initialSyncLimit: 20, threadSupport: true, lazyLoadMembers: true });
  await new Promise((resolve, reject) => {
    client.on(ClientEvent.Sync, (state, previous, data) => {
      if (state === 'PREPARED' || state === 'SYNCING') resolve();
      if (state === 'ERROR') reject(data?.error ?? new Error('sync failed'));
    });
  });
  return client;
}

/** The decrypted text of the newest events of a room as this client sees them. */
export function texts(client, roomId) {
  const room = client.getRoom(roomId);
  return (room?.getLiveTimeline().getEvents() ?? [])
    .filter((event) => event.getType() === 'm.room.message' && !event.isDecryptionFailure())
    .map((event) => event.getContent().body);
}
