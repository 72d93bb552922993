/**
 * Reads the configuration from its four sources (flag > environment > file > default) and gives either a frozen,
 * typed `Config` or the list of everything that is wrong. Reads the file and nothing else; writes nothing.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../util/error-text.ts';
import type { Result } from '../util/result.ts';
import { err, ok } from '../util/result.ts';
import type { Field, Shape } from './field.ts';
import type { ConfigFault, Raw } from './raw.ts';
import { emptyMap, merge, nest, readYaml } from './raw.ts';
import type { Config } from './schema.ts';
import { crossFaults, schema } from './schema.ts';
import { suggest } from './suggest.ts';
import { validate } from './validate.ts';

export interface ConfigSources {
  /** Path of a YAML file; without it none is read. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `path.to.key=value` texts; later ones win. */
  readonly sets?: readonly string[];
  readonly flags?: {
    readonly data?: string | undefined;
    readonly serverName?: string | undefined;
    /** `HOST:PORT`; replaces all listeners by one that serves client, federation and admin. */
    readonly listen?: string | undefined;
  };
}

interface Source {
  readonly raw: Raw;
  readonly faults: readonly ConfigFault[];
}

const fieldAt = (path: readonly string[]): Field | undefined => {
  let fields: Shape = schema;
  let field: Field | undefined;
  for (const key of path) {
    field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (field === undefined) return undefined;
    fields = field.kind === 'section' ? field.fields : {};
  }
  return field;
};

const pathsUnder = (fields: Shape, prefix: readonly string[]): string[][] =>
  Object.entries(fields).flatMap(([key, field]) => {
    const path = [...prefix, key];
    return field.kind === 'section' ? [path, ...pathsUnder(field.fields, path)] : [path];
  });

/** Every path that the environment and `--set` can name. Items of lists are not among them: a list is given whole. */
const allPaths = pathsUnder(schema, []);

const prefix = 'NEURITE_';
const variableOf = (path: readonly string[]): string => `${prefix}${path.join('__').toUpperCase()}`;

/** Text from outside a file: as it stands for text keys, YAML or JSON for the others. */
const fromText = (path: readonly string[], source: string, value: string): Source => {
  const field = fieldAt(path);
  if (field?.kind === 'leaf' && field.verbatim) {
    const raw: Raw = { kind: 'value', origin: { source }, value: value === '' ? null : value };
    return { raw: nest(path, raw), faults: [] };
  }
  const { raw, faults } = readYaml(source, value, false);
  return { raw: nest(path, raw), faults: faults.map((fault) => ({ ...fault, path: path.join('.') })) };
};

const fromEnvironment = (env: ConfigSources['env']): Source[] => {
  const known = new Map(allPaths.map((path) => [variableOf(path), path]));
  const sources: Source[] = [];
  for (const [name, value] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (value === undefined || !name.startsWith(prefix)) continue;
    const path = known.get(name);
    if (path !== undefined) {
      sources.push(fromText(path, name, value));
      continue;
    }
    const near = suggest(
      name.slice(prefix.length),
      [...known.keys()].map((known) => known.slice(prefix.length)),
    );
    // Orchestrators set names such as NEURITE_PORT for a service of this name: what is like no key is not for us.
    if (!name.includes('__') && near === undefined) continue;
    const message = `there is no such key${near === undefined ? '' : `; did you mean ${prefix}${near}?`}`;
    sources.push({ raw: emptyMap({ source: name }), faults: [{ origin: { source: name }, path: '', message }] });
  }
  return sources;
};

const fromSet = (setting: string): Source => {
  const equals = setting.indexOf('=');
  const source = `--set ${equals < 0 ? setting : setting.slice(0, equals)}`;
  const wrong = (message: string): Source => ({
    raw: emptyMap({ source }),
    faults: [{ origin: { source }, path: '', message }],
  });
  if (equals < 0) return wrong('expected path.to.key=value');
  const path = setting.slice(0, equals).split('.');
  if (fieldAt(path) !== undefined) return fromText(path, source, setting.slice(equals + 1));
  const near = suggest(
    path.join('.'),
    allPaths.map((known) => known.join('.')),
  );
  return wrong(`there is no such key${near === undefined ? '' : `; did you mean ${near}?`}`);
};

const fromListen = (listen: string): Source => {
  const origin = { source: '--listen' };
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(listen);
  const address = match?.[1] ?? match?.[2];
  if (address === undefined || Number(match?.[3]) > 65535) {
    const message = `expected HOST:PORT, such as 127.0.0.1:8008 or [::1]:8008, got ${JSON.stringify(listen)}`;
    return { raw: emptyMap(origin), faults: [{ origin, path: '', message }] };
  }
  const value = (inner: unknown): Raw => ({ kind: 'value', origin, value: inner });
  const entries = new Map([
    ['address', value(address)],
    ['port', value(Number(match?.[3]))],
  ]);
  return {
    raw: nest(['listeners'], { kind: 'list', origin, items: [{ kind: 'map', origin, entries }] }),
    faults: [],
  };
};

const fromFlags = (flags: NonNullable<ConfigSources['flags']>): Source[] => [
  ...(flags.data === undefined ? [] : [fromText(['data_dir'], '--data', flags.data)]),
  ...(flags.serverName === undefined ? [] : [fromText(['server_name'], '--server-name', flags.serverName)]),
  ...(flags.listen === undefined ? [] : [fromListen(flags.listen)]),
];

const fromFile = (file: string): Source => {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    const message = `cannot be read: ${messageOf(error)}`;
    return { raw: emptyMap({ source: file }), faults: [{ origin: { source: file }, path: '', message }] };
  }
  return readYaml(file, content, true);
};

const deepFreeze = (value: unknown): void => {
  if (typeof value !== 'object' || value === null) return;
  Object.values(value).forEach(deepFreeze);
  Object.freeze(value);
};

const inOrder = (a: ConfigFault, b: ConfigFault): number => (a.origin.line ?? 0) - (b.origin.line ?? 0);

/**
 * The configuration from file, environment and flags, or every fault at once, those of the file in the order of its
 * lines.
 */
export const loadConfig = (sources: ConfigSources): Result<Config, readonly ConfigFault[]> => {
  const layers = [
    ...(sources.file === undefined ? [] : [fromFile(sources.file)]),
    ...fromEnvironment(sources.env),
    ...(sources.sets ?? []).map(fromSet),
    ...fromFlags(sources.flags ?? {}),
  ];
  const root: Raw = layers.reduce<Raw>(
    (below, { raw }) => {
      const isNull = raw.kind === 'value' && raw.value === null;
      return isNull ? below : merge(below, raw);
    },
    emptyMap({ source: sources.file ?? 'configuration' }),
  );
  const { value, faults, origins } = validate(schema, root);
  const found = [...layers.flatMap((layer) => layer.faults), ...faults];
  if (found.length > 0) return err(found.sort(inOrder));
  // The walk above has checked every key of this tree against the schema that the type is made from.
  const config = value as Config;
  const crossed = crossFaults(config).map(({ path, message }): ConfigFault => {
    // A key that is not given itself is shown at the nearest one above it that is.
    const keys = path.split('.');
    const given = keys.map((_, index) => keys.slice(0, keys.length - index).join('.')).find((key) => origins.has(key));
    return { origin: origins.get(given ?? '') ?? root.origin, path, message };
  });
  if (crossed.length > 0) return err(crossed.sort(inOrder));
  deepFreeze(config);
  return ok(config);
};

/** One line for a person: `neurite.yaml:3: sync.linear_max_entries: expected …`. */
export const formatFault = ({ origin, path, message }: ConfigFault): string =>
  [origin.line === undefined ? origin.source : `${origin.source}:${origin.line}`, path, message]
    .filter((part) => part !== '')
    .join(': ');
