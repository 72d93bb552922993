/** Federation: what other servers ask of this one. */
export { openIdUserInfoRoutes } from './routes/openid.ts';
export { onBindRoutes } from './routes/third-party-invites.ts';
export { keyServerRoutes } from './routes/keys.ts';
