/** One typed function for each endpoint of the Server-Server API v1.19 that we call. */
import type { FederationClient } from '../client.ts';
import { eventEndpoints } from './events.ts';
import { inviteEndpoints } from './invites.ts';
import { mediaEndpoints } from './media.ts';
import { joinEndpoints, knockEndpoints, leaveEndpoints } from './membership.ts';
import { queryEndpoints } from './queries.ts';
import { stateEndpoints } from './room-state.ts';
import { transactionEndpoints } from './transactions.ts';
import { keyEndpoints, userEndpoints } from './user-queries.ts';

export type { Called, CallOptions } from './call.ts';
export type { EventAtTime, MissingEventsWish } from './events.ts';
export type { Invite } from './invites.ts';
export type { MediaRequest, RemoteFile, ThumbnailWish } from './media.ts';
export type { EventTemplate, JoinAnswer } from './membership.ts';
export type { DirectoryAnswer, HierarchyAnswer, PublicRoomsAnswer, PublicRoomsWish, VersionAnswer } from './queries.ts';
export type { StateAnswer, StateIds } from './room-state.ts';
export type { SendAnswer } from './transactions.ts';
export type { ClaimedKeys, DevicesAnswer, KeysAnswer } from './user-queries.ts';

/** All calls, by name. */
export type FederationApi = ReturnType<typeof federationApi>;

export const federationApi = (client: FederationClient) => ({
  ...joinEndpoints(client),
  ...leaveEndpoints(client),
  ...knockEndpoints(client),
  ...inviteEndpoints(client),
  ...transactionEndpoints(client),
  ...eventEndpoints(client),
  ...stateEndpoints(client),
  ...queryEndpoints(client),
  ...userEndpoints(client),
  ...keyEndpoints(client),
  ...mediaEndpoints(client),
});
