/** Federation: what other servers ask of this one. */
export { createEdus, type Edu, type EduHandler } from './edus/index.ts';
export { createFederation, type Federation, type FederationParts } from './federation.ts';
export type { OutOfBandHandler, PduAnswer } from './inbound/index.ts';
export { federationDirectoryRoutes, publicRoomsBody } from './routes/directory.ts';
export { eventReadRoutes } from './routes/events.ts';
export { federationHierarchyRoutes } from './routes/hierarchy.ts';
export { inviteRoutes } from './routes/invites.ts';
export { residentRoutes } from './routes/memberships.ts';
export { keyServerRoutes } from './routes/keys.ts';
export { federationMediaRoutes } from './routes/media.ts';
export { openIdUserInfoRoutes } from './routes/openid.ts';
export { queryProfileRoutes } from './routes/query-profile.ts';
export { onBindRoutes } from './routes/third-party-invites.ts';
export { userKeyRoutes } from './routes/user-keys.ts';
export { stateReadRoutes } from './routes/states.ts';
export { createFederationSender, type DeviceMessages, type FederationSender } from './sender/index.ts';
