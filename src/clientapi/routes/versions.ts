/** Versions of the specification and unstable features (C-S API v1.19 §API Versions). */
import { route, type Route } from '../../http/index.ts';

/** Clients look for exact strings of old versions too, so every one is listed. */
const versions = Array.from({ length: 19 }, (_, index) => `v1.${index + 1}`);

/** Unstable names under which something served here is asked for. */
const unstableFeatures: Readonly<Record<string, boolean>> = {
  'org.matrix.msc3266': true,
  'org.matrix.msc3814': true,
  'org.matrix.msc3827.stable': true,
  'org.matrix.msc4222': true,
  'uk.tcpip.msc4133': true,
  'uk.tcpip.msc4133.stable': true,
  'org.matrix.msc4380': true,
  'org.matrix.msc4380.stable': true,
  'org.matrix.e2e_cross_signing': true,
  'uk.timedout.msc4323': true,
  // matrix-js-sdk asks for rooms in common only where it finds one of these, whatever the version.
  'uk.half-shot.msc2666.query_mutual_rooms': true,
  'uk.half-shot.msc2666.query_mutual_rooms.stable': true,
};

export const versionRoutes = (): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/versions',
    auth: 'none',
    rate: 'none',
    handle: () => ({ versions, unstable_features: unstableFeatures }),
  }),
];
