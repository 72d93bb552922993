/**
 * Who may import whom (the order of the modules): each only what stands before it, through its index.ts, save for `util`
 * and `matrix` whose files are imported one by one. The layer check reads this array and nothing else.
 */
export const layers: readonly string[] = [
  'util',
  'matrix',
  'config',
  'storage',
  'bus',
  'workers',
  'http',
  'fedclient',
  'roomserver',
  'userapi',
  'mediaapi',
  'push',
  'syncapi',
  'federation',
  'appservice',
  'clientapi',
  'admin',
];

/** Modules without an index.ts: their files are public. */
export const openLayers: readonly string[] = ['util', 'matrix'];

/** What only some may import: package → the places that may. */
export const reserved: Readonly<Record<string, readonly string[]>> = {
  'better-sqlite3': ['src/storage/', 'src/workers/'],
  express: ['src/http/'],
  ws: ['src/http/'],
  'libsodium-wrappers': ['src/matrix/crypto/'],
};

/** Imports that the order would allow and the design does not: module → modules. */
export const apart: Readonly<Record<string, readonly string[]>> = {
  federation: ['syncapi', 'push'],
  appservice: ['syncapi', 'push'],
};

/** What pure specification logic must not touch: time, chance and the world come in as values. */
export const pure = { layer: 'matrix', builtins: ['fs', 'http', 'https', 'timers', 'worker_threads', 'child_process'] };
