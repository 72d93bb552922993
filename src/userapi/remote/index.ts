/** Users of other servers, as far as ours have to do with them: their devices, keys and profiles. */
import type { FedClient } from '../../fedclient/index.ts';
import type { Database } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import type { Measure } from '../../util/metrics.ts';
import { RemoteKeys } from './keys.ts';
import { ListFetcher } from './list-fetcher.ts';
import type { RemoteLists } from './lists.ts';
import { RemoteProfiles } from './profiles.ts';

export interface RemoteUsers extends AsyncDisposable {
  readonly lists: RemoteLists;
  readonly fetcher: ListFetcher;
  readonly keys: RemoteKeys;
  readonly profiles: RemoteProfiles;
  readonly measures: readonly Measure[];
}

export interface RemoteUsersParts {
  readonly db: Database;
  readonly lists: RemoteLists;
  readonly federation: FedClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Builds what asks other servers about their users; `fetcher.wake()` takes up what an earlier process left. */
export function createRemoteUsers(parts: RemoteUsersParts): RemoteUsers {
  const { lists } = parts;
  const log = parts.log.child({ module: 'userapi' });
  const fetcher = new ListFetcher({ ...parts, log });
  const keys = new RemoteKeys({ ...parts, fetcher });
  const profiles = new RemoteProfiles(parts);
  const measures: Measure[] = [
    {
      name: 'neurite_device_list_fetches',
      help: 'Device lists of other servers being fetched',
      kind: 'gauge',
      read: () => fetcher.running,
    },
  ];
  return { lists, fetcher, keys, profiles, measures, [Symbol.asyncDispose]: () => fetcher.close() };
}
