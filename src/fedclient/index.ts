/**
 * Fedclient: how this server speaks to others (S-S API v1.19). Discovery, connections, signed requests, the key ring,
 * back-off, and one typed function for each endpoint. Knows nothing of rooms. Owns the `fedclient_*` tables.
 */
import { readFileSync } from 'node:fs';
import type { Config } from '../config/index.ts';
import type { ServerAuthenticator } from '../http/index.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import type { RoomVersionRules } from '../matrix/room-versions.ts';
import type { Database } from '../storage/index.ts';
import { AddressGuard } from '../util/address-guard.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import type { Measure } from '../util/metrics.ts';
import { version } from '../util/package-files.ts';
import { FederationClient } from './client.ts';
import { Connector, type Dial } from './connector.ts';
import { Destinations } from './destinations.ts';
import { federationApi, type FederationApi } from './endpoints/index.ts';
import { verifyEvents, type SignatureVerdict } from './event-signatures.ts';
import { KeyRing } from './keyring.ts';
import { SystemNames, type Names } from './names.ts';
import { notaryNames, OwnKeys } from './own-keys.ts';
import { ServerResolver } from './resolver.ts';
import { XMatrixAuthenticator } from './server-authenticator.ts';
import { ServerFilter } from './server-filter.ts';
import type { SigningKey } from './signing-key.ts';
import { WellKnown } from './well-known.ts';

export type { FederationClient } from './client.ts';
export type { FederationAnswer, FederationRequest } from './exchange.ts';
export type { Destinations, Failing } from './destinations.ts';
export type * from './endpoints/index.ts';
export { missingFile } from './endpoints/media.ts';
export type { SignatureVerdict } from './event-signatures.ts';
export { faultError, type FederationFault } from './fault.ts';
export type { KeyAnswer, KeyRing, KeyWish } from './keyring.ts';
export type { Names } from './names.ts';
export type { OwnKeys } from './own-keys.ts';
export { loadSigningKey, type SigningKey } from './signing-key.ts';

export interface FedClientParts {
  readonly db: Database;
  readonly config: Pick<Config, 'federation'>;
  readonly serverName: ServerName;
  readonly signingKey: SigningKey;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: the system's. */
  readonly names?: Names;
  /** Default: a plain TCP connection. */
  readonly dial?: Dial;
}

/** Everything that the modules to the right use of this one. */
export interface FedClient extends AsyncDisposable {
  readonly client: FederationClient;
  readonly api: FederationApi;
  readonly keyRing: KeyRing;
  readonly ownKeys: OwnKeys;
  readonly destinations: Destinations;
  /** Whether the operator lets us speak with this server. */
  permits(server: string): boolean;
  /** Receipt check 2 for events of one room version; verdicts in their order. */
  verifyEvents(events: readonly RoomEvent[], rules: RoomVersionRules): Promise<SignatureVerdict[]>;
  /** For rows of the auth kind `server`. */
  readonly authenticator: ServerAuthenticator;
  readonly measures: readonly Measure[];
}

/** @throws Error in one sentence when the file of certificate authorities cannot be read */
export function createFedClient(parts: FedClientParts): FedClient {
  const { db, serverName, signingKey, clock } = parts;
  const config = parts.config.federation;
  const log = parts.log.child({ module: 'fedclient' });
  const names = parts.names ?? new SystemNames();
  const guard = new AddressGuard(config.allowNetworks);
  const extraCa = readCa(config.caFile);
  const connector = new Connector({ guard, names, extraCa, ...(parts.dial === undefined ? {} : { dial: parts.dial }) });
  const destinations = new Destinations({ db, clock, log });
  const filter = new ServerFilter(config);
  const userAgent = `Neurite/${version}`;
  const resolver = new ServerResolver(names, new WellKnown(connector, clock, userAgent));
  const client = new FederationClient({
    ...{ serverName, signingKey, resolver, connector, destinations, filter, userAgent, log },
  });
  const ownKeys = new OwnKeys(serverName, signingKey, config.oldSigningKeys, clock);
  const notaries = notaryNames(config.trustedKeyServers);
  const keyRing = new KeyRing({ db, client, own: ownKeys, notaries, clock, log });
  return {
    ...{ client, keyRing, ownKeys, destinations },
    api: federationApi(client),
    permits: (server) => filter.permits(server),
    verifyEvents: (events, rules) => verifyEvents(keyRing, events, rules),
    authenticator: new XMatrixAuthenticator({ serverName, keyRing, filter, destinations, clock }),
    measures: measuresOf(client, destinations),
    async [Symbol.asyncDispose]() {
      connector.close();
      names.close();
      await client[Symbol.asyncDispose]();
      await keyRing.idle();
    },
  };
}

function readCa(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`federation.ca_file cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

const measuresOf = (client: FederationClient, destinations: Destinations): Measure[] => [
  {
    name: 'neurite_federation_failing_servers',
    help: 'Servers that do not answer',
    kind: 'gauge',
    read: () => destinations.size,
  },
  {
    name: 'neurite_federation_pools',
    help: 'Servers with a pool of connections',
    kind: 'gauge',
    read: () => client.pools,
  },
];
