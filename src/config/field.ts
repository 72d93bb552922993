/**
 * The building blocks of the configuration schema. A field says everything about one key: what it means, its unit, its
 * default in the form a user writes, and how a raw YAML value becomes the typed one. Validation, defaults, the `Config`
 * type and config.example.yaml are all read from these fields and from nothing else.
 */
import type { Result } from '../util/result.ts';
import { err, ok } from '../util/result.ts';

/** One key with a value of its own. */
export interface Leaf<T> {
  readonly kind: 'leaf';
  readonly doc: string;
  /** What may be written, in words: `a duration such as 30s or 5m`. */
  readonly accepts: string;
  /** As a user would write it; `undefined` when the key has no default. */
  readonly default: unknown;
  /** Without a default: whether leaving the key out is a fault. */
  readonly required: boolean;
  /** Shown in the example file where there is no default. */
  readonly example: unknown;
  /** Environment variables and `--set` give this key's text as it stands, without reading it as YAML. */
  readonly verbatim: boolean;
  /** Turns a raw value (never null or undefined) into the typed one, or says in one clause what was expected. */
  readonly parse: (raw: unknown) => Result<T, string>;
}

/** Keys under a common key. An optional one is `undefined` in the config when it is not given. */
export interface Section<S extends Shape, O extends boolean = false> {
  readonly kind: 'section';
  readonly doc: string;
  readonly optional: O;
  readonly fields: S;
}

/** A list of groups of keys; given as a whole, never merged item by item. */
export interface Records<S extends Shape> {
  readonly kind: 'records';
  readonly doc: string;
  readonly fields: S;
  readonly default: readonly unknown[];
  /** One item, shown in the example file where the default is the empty list. */
  readonly example: unknown;
}

// A leaf's own type is irrelevant to whoever walks the schema; `never` keeps every Leaf<T> assignable.
export type Field = Leaf<unknown> | Section<Shape, boolean> | Records<Shape>;
export interface Shape {
  readonly [key: string]: Field;
}

type Camel<S> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S & string;

/** The typed value of a field; keys are `snake_case` in files and `camelCase` in code. */
export type ValueOf<F> =
  F extends Leaf<infer T>
    ? T
    : F extends Section<infer S, infer O>
      ? O extends true
        ? ShapeValue<S> | undefined
        : ShapeValue<S>
      : F extends Records<infer S>
        ? readonly ShapeValue<S>[]
        : never;
export type ShapeValue<S extends Shape> = { readonly [K in keyof S as Camel<K>]: ValueOf<S[K]> };

/** `linear_max_entries` → `linearMaxEntries`. */
export const camelCase = (key: string): string =>
  key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

interface LeafOptions {
  readonly doc: string;
  readonly default?: unknown;
  readonly required?: true;
  readonly example?: unknown;
}

const leaf = <T>(
  options: LeafOptions,
  accepts: string,
  parse: (raw: unknown) => T | undefined,
  verbatim = false,
): Leaf<T> => ({
  kind: 'leaf',
  doc: options.doc,
  accepts,
  default: options.default,
  required: options.required ?? false,
  example: options.example,
  verbatim,
  parse: (raw) => {
    const value = parse(raw);
    return value === undefined ? err(`expected ${accepts}`) : ok(value);
  },
});

/** A string; `check` may narrow it, `accepts` then says to what. */
export const text = (options: LeafOptions & { accepts?: string; check?: (value: string) => boolean }): Leaf<string> =>
  leaf(
    options,
    options.accepts ?? 'a text',
    (raw) => (typeof raw === 'string' && (options.check?.(raw) ?? raw !== '') ? raw : undefined),
    true,
  );

export const flag = (options: LeafOptions): Leaf<boolean> =>
  leaf(options, 'true or false', (raw) => (typeof raw === 'boolean' ? raw : undefined));

const between = (min: number, max: number | undefined): string =>
  max === undefined ? `of at least ${min}` : `from ${min} to ${max}`;

export const integer = (options: LeafOptions & { min: number; max?: number }): Leaf<number> =>
  leaf(options, `a whole number ${between(options.min, options.max)}`, (raw) =>
    typeof raw === 'number' && Number.isSafeInteger(raw) && raw >= options.min && raw <= (options.max ?? raw)
      ? raw
      : undefined,
  );

/** A number above zero, fractions allowed. */
export const positive = (options: LeafOptions): Leaf<number> =>
  leaf(options, 'a number above 0', (raw) =>
    typeof raw === 'number' && Number.isFinite(raw) && raw > 0 ? raw : undefined,
  );

/** One of a few words. A bare number counts as its text, so that a room version needs no quotes. */
export const choice = <const C extends string>(choices: readonly C[], options: LeafOptions): Leaf<C> =>
  leaf(
    options,
    `one of ${choices.join(', ')}`,
    (raw) => choices.find((word) => word === (typeof raw === 'number' ? String(raw) : raw)),
    true,
  );

const durationUnits: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const sizeUnits: Record<string, number> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
};

const withUnit = (raw: unknown, units: Record<string, number>): number | undefined => {
  if (raw === 0) return 0;
  const match = typeof raw === 'string' ? /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(raw.trim()) : null;
  const unit = match?.[2] === undefined ? undefined : units[match[2]];
  return unit === undefined ? undefined : Math.round(Number(match?.[1]) * unit);
};

/** A length of time, written with its unit; milliseconds in code. */
export const duration = (options: LeafOptions): Leaf<number> =>
  leaf(options, 'a duration with its unit (ms, s, m, h or d), such as 30s or 7d', (raw) =>
    withUnit(raw, durationUnits),
  );

/** An amount of memory or disk, written with its unit; bytes in code. */
export const size = (options: LeafOptions & { min?: number; max?: number }): Leaf<number> => {
  const range = options.min === undefined ? '' : ` (${between(options.min, options.max)} bytes)`;
  return leaf(options, `a size with its unit, such as 512 KiB or 50 MiB${range}`, (raw) => {
    const bytes = withUnit(raw, sizeUnits);
    if (bytes === undefined || bytes < (options.min ?? 0) || bytes > (options.max ?? bytes)) return undefined;
    return bytes;
  });
};

/** A list of values of one kind; `of` judges each. */
export const list = <T>(of: Leaf<T>, options: LeafOptions & { nonEmpty?: true }): Leaf<readonly T[]> =>
  leaf(options, `a list, each item ${of.accepts}`, (raw) => {
    if (!Array.isArray(raw) || (options.nonEmpty && raw.length === 0)) return undefined;
    const values: T[] = [];
    for (const item of raw) {
      const parsed = of.parse(item);
      if (!parsed.ok) return undefined;
      values.push(parsed.value);
    }
    return values;
  });

/** The same key, but it may be left out or null: `undefined` in the config. */
export const optional = <T>(of: Leaf<T>): Leaf<T | undefined> => of;

export const section = <const S extends Shape>(doc: string, fields: S): Section<S> => ({
  kind: 'section',
  doc,
  optional: false,
  fields,
});

/** A section that is `undefined` unless one of its keys is given. */
export const optionalSection = <const S extends Shape>(doc: string, fields: S): Section<S, true> => ({
  kind: 'section',
  doc,
  optional: true,
  fields,
});

export const records = <const S extends Shape>(
  options: { doc: string; default: readonly unknown[]; example?: unknown },
  fields: S,
): Records<S> => ({ kind: 'records', doc: options.doc, fields, default: options.default, example: options.example });
