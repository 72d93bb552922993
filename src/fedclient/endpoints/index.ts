/** One typed function for each endpoint of the Server-Server API v1.19 that we call. */
import type { FederationClient } from '../client.ts';
import { eventEndpoints } from './events.ts';
import { mediaEndpoints } from './media.ts';
import { membershipEndpoints } from './membership.ts';
import { queryEndpoints } from './queries.ts';

export type { Called, CallOptions } from './call.ts';
export type { EventAtTime, MissingEventsWish, SendAnswer, StateAnswer, StateIds } from './events.ts';
export type { MediaRequest, RemoteFile, ThumbnailWish } from './media.ts';
export type { EventTemplate, Invite, JoinAnswer } from './membership.ts';
export type {
  ClaimedKeys,
  DevicesAnswer,
  DirectoryAnswer,
  HierarchyAnswer,
  KeysAnswer,
  PublicRoomsAnswer,
  PublicRoomsWish,
  VersionAnswer,
} from './queries.ts';

/** All calls, by name. */
export type FederationApi = ReturnType<typeof federationApi>;

export const federationApi = (client: FederationClient) => ({
  ...membershipEndpoints(client),
  ...eventEndpoints(client),
  ...queryEndpoints(client),
  ...mediaEndpoints(client),
});
