/** Federation: what other servers ask of this one. */
export { openIdUserInfoRoutes } from './routes/openid.ts';
export { keyServerRoutes } from './routes/keys.ts';
