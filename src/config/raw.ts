/**
 * Raw settings before validation: one tree for all sources, in which every value remembers where it came from (a line of
 * the file, an environment variable, a flag), so that a fault found later can be shown at its place.
 */
import type { Node } from 'yaml';
import { yaml } from '../util/lazy.ts';

/** Where a value was written. `line` is 1-based and only known in a file. */
export interface Origin {
  readonly source: string;
  readonly line?: number;
}

export type Raw =
  | { readonly kind: 'map'; readonly origin: Origin; readonly entries: Map<string, Raw> }
  | { readonly kind: 'list'; readonly origin: Origin; readonly items: readonly Raw[] }
  | { readonly kind: 'value'; readonly origin: Origin; readonly value: unknown };

/** What is wrong and where. `path` is the key in dots; empty for a fault of the file itself. */
export interface ConfigFault {
  readonly origin: Origin;
  readonly path: string;
  readonly message: string;
}

export const emptyMap = (origin: Origin): Raw & { kind: 'map' } => ({ kind: 'map', origin, entries: new Map() });

/**
 * Reads YAML text (JSON is YAML too).
 *
 * @returns the tree, and every syntax fault; a text with faults other than doubled keys gives an empty tree
 */
export const readYaml = (source: string, content: string, lines: boolean): { raw: Raw; faults: ConfigFault[] } => {
  const { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } = yaml();
  const counter = new LineCounter();
  const document = parseDocument(content, { lineCounter: counter, prettyErrors: false });
  const at = (offset: number | undefined): Origin =>
    lines && offset !== undefined ? { source, line: counter.linePos(offset).line } : { source };
  const faults = document.errors.map((error) => ({
    origin: at(error.pos[0]),
    path: '',
    message: error.code === 'DUPLICATE_KEY' ? 'this key stands twice' : `not valid YAML: ${error.message}`,
  }));
  const root: Origin = lines ? { source, line: 1 } : { source };
  if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) return { raw: emptyMap(root), faults };

  const convert = (node: Node | null, fallback: Origin): Raw => {
    const origin = node?.range ? at(node.range[0]) : fallback;
    const target = isAlias(node) ? (node.resolve(document) ?? null) : node;
    if (isMap<Node, Node | null>(target)) {
      const map = emptyMap(origin);
      for (const { key, value } of target.items) {
        // A value is shown at the line of its key: what stands below may start lines later.
        const keyOrigin = at(key.range?.[0]);
        const name = String(isScalar(key) ? key.value : key);
        if (!map.entries.has(name)) map.entries.set(name, { ...convert(value, keyOrigin), origin: keyOrigin });
      }
      return map;
    }
    if (isSeq<Node>(target)) return { kind: 'list', origin, items: target.items.map((item) => convert(item, origin)) };
    return { kind: 'value', origin, value: isScalar(target) ? target.value : null };
  };
  return { raw: convert(document.contents, root), faults };
};

/** Puts `over` above `base`: maps are merged key by key, everything else is replaced. */
export const merge = (base: Raw, over: Raw): Raw => {
  if (base.kind !== 'map' || over.kind !== 'map') return over;
  const entries = new Map(base.entries);
  for (const [key, value] of over.entries) {
    const below = entries.get(key);
    entries.set(key, below === undefined ? value : merge(below, value));
  }
  return { kind: 'map', origin: over.origin, entries };
};

/** `value` under the keys of `path`, outermost first. */
export const nest = (path: readonly string[], value: Raw): Raw =>
  path.reduceRight<Raw>(
    (inner, key) => ({ kind: 'map', origin: value.origin, entries: new Map([[key, inner]]) }),
    value,
  );

/** The tree as plain data, without origins. */
export const plain = (raw: Raw): unknown => {
  if (raw.kind === 'value') return raw.value;
  if (raw.kind === 'list') return raw.items.map(plain);
  return Object.fromEntries([...raw.entries].map(([key, value]) => [key, plain(value)]));
};
