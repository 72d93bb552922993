/**
 * Who may import whom. The order of the modules stands in one array; every rule of the layer check is made from it and
 * from the few tables below.
 */

/** Each imports only what stands before it. */
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

/** Modules whose files are imported one by one; the others only through their index.ts. */
const openLayers: readonly string[] = ['util', 'matrix'];

/** Tables of routes, one file an area, which only what stands above all modules joins. */
const routeLayers: readonly string[] = ['clientapi', 'admin'];

/** Packages that have one owner: package → the places that may import it. */
const reserved: Readonly<Record<string, readonly string[]>> = {
  'better-sqlite3': ['src/storage/', 'src/workers/'],
  express: ['src/http/'],
  ws: ['src/http/'],
  'libsodium-wrappers': ['src/matrix/crypto/'],
};

/** Imports that the order would allow: these meet on the bus only. */
const apart: Readonly<Record<string, readonly string[]>> = {
  federation: ['syncapi', 'push'],
  appservice: ['syncapi', 'push'],
};

/** Specification logic is pure: time, files and the network come in as values. */
const impure = new Set(['fs', 'fs/promises', 'http', 'https', 'timers', 'timers/promises', 'child_process']);

export interface Import {
  /** As written, or the path from the project's root for a relative one. */
  readonly target: string;
  readonly line: number;
  /** Gone when the types are stripped. */
  readonly typeOnly: boolean;
}

/** Imports of every file of src, by its path from the project's root. */
export type Graph = ReadonlyMap<string, readonly Import[]>;

const layerOf = (path: string): string | undefined => /^src\/([^/]+)\//.exec(path)?.[1];
const packageOf = (target: string): string => target.split('/', target.startsWith('@') ? 2 : 1).join('/');

const faultOfLocal = (file: string, target: string, graph: Graph): string | undefined => {
  if (!target.startsWith('src/')) return 'the server imports only its own sources';
  if (!graph.has(target)) return 'there is no such file';
  const from = layerOf(file);
  const to = layerOf(target);
  if (from === to) return undefined;
  const above = layers.indexOf(to ?? '');
  const below = layers.indexOf(from ?? '');
  // What stands beside the modules (cli, app, commands, the parts of modules.ts) is above them all.
  if (below >= 0 && (above < 0 || above > below)) return `${from} stands before ${to ?? 'this'} and may not import it`;
  if (from !== undefined && to !== undefined && apart[from]?.includes(to))
    return `${from} and ${to} meet on the bus only`;
  if (from === undefined && routeLayers.includes(to ?? '')) return undefined;
  const isOpen = above < 0 || openLayers.includes(to ?? '') || target === `src/${to}/index.ts`;
  return isOpen ? undefined : `${to} is imported through its index.ts`;
};

const faultOfPackage = (file: string, target: string, dependencies: ReadonlySet<string>): string | undefined => {
  if (target.startsWith('node:')) {
    const isImpure = layerOf(file) === 'matrix' && impure.has(target.slice('node:'.length));
    return isImpure ? 'specification logic takes values and gives verdicts' : undefined;
  }
  const name = packageOf(target);
  if (!dependencies.has(name)) return `${name} is not among the dependencies`;
  const owners = reserved[name];
  return owners === undefined || owners.some((place) => file.startsWith(place))
    ? undefined
    : `only ${owners.join(' and ')} may import ${name}`;
};

/** Circles of imports that exist at run time, each once, as the files on the way round. */
const circles = (graph: Graph): string[][] => {
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): void => {
    const begun = way.indexOf(file);
    if (begun >= 0) {
      found.push([...way.slice(begun), file]);
      return;
    }
    if (done.has(file)) return;
    for (const { target, typeOnly } of graph.get(file) ?? []) {
      if (!typeOnly && graph.has(target)) visit(target, [...way, file]);
    }
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
};

/** Every breach of the order, as lines for people. `dependencies` are the packages that users install. */
export const breaches = (graph: Graph, dependencies: ReadonlySet<string>): string[] => [
  ...[...graph].flatMap(([file, imports]) =>
    imports.flatMap(({ target, line }) => {
      const isLocal = graph.has(target) || /^(src|test|bin|dist|\.ci|\.\.)\//.test(target);
      const fault = isLocal ? faultOfLocal(file, target, graph) : faultOfPackage(file, target, dependencies);
      return fault === undefined ? [] : [`${file}:${line}: imports ${target}: ${fault}`];
    }),
  ),
  ...circles(graph).map((files) => `${files.join(' → ')}: a circle`),
];
