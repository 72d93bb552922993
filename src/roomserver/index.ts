/** Roomserver: the only writer of room state. */
export type * from './core.ts';
export { createBundle, relationIn, type BundleOptions } from './query/bundle.ts';
export {
  clientEvent,
  clientView,
  contentOf,
  contentText,
  membershipOfEvent,
  type Bundle,
  type ClientView,
  type ClientViewOptions,
} from './query/client-event.ts';
export type * from './types.ts';
