/** What administrators ask about the server as a whole. */
import { route, type Route } from '../http/index.ts';
import { v1 } from './common.ts';

/** The version line of `GET /server_version`. */
export const serverRoutes = (version: string): Route[] => [
  route({
    method: 'GET',
    path: `${v1}/server_version`,
    // Tools ask for it before they log in, to learn what they talk to.
    auth: 'none',
    rate: 'read',
    handle: () => ({ server_version: `Neurite ${version}` }),
  }),
];
