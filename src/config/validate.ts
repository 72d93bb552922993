/**
 * Walks a raw tree along the schema: fills defaults, turns raw values into typed ones and collects every fault, so that a
 * user sees all of them at once.
 */
import type { Field, Leaf, Records, Shape } from './field.ts';
import { camelCase } from './field.ts';
import type { ConfigFault, Origin, Raw } from './raw.ts';
import { plain } from './raw.ts';
import { suggest } from './suggest.ts';

const absent = (raw: Raw | undefined): raw is undefined =>
  raw === undefined || (raw.kind === 'value' && (raw.value === null || raw.value === undefined));

const shown = (raw: Raw): string => {
  const text = JSON.stringify(plain(raw)) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
};

/** Keys whose value must not be repeated on a terminal or in a log. */
const secret = /(secret|token|password|private_key)$/;

export interface Validated {
  readonly value: unknown;
  readonly faults: readonly ConfigFault[];
  /** Where each given key was written. */
  readonly origins: ReadonlyMap<string, Origin>;
}

/** Validates a tree against a shape; `value` is only meaningful when there are no faults. */
export const validate = (shape: Shape, root: Raw): Validated => {
  const faults: ConfigFault[] = [];
  const origins = new Map<string, Origin>();
  const fault = (origin: Origin, path: string, message: string): undefined => {
    faults.push({ origin, path, message });
  };

  const leafValue = (field: Leaf<unknown>, raw: Raw | undefined, path: string, parent: Origin): unknown => {
    if (absent(raw)) {
      if (field.default !== undefined) {
        const parsed = field.parse(field.default);
        if (!parsed.ok) throw new Error(`the default of ${path} does not fit: ${parsed.error}`);
        return parsed.value;
      }
      return field.required ? fault(parent, path, 'is required') : undefined;
    }
    const parsed = field.parse(plain(raw));
    if (parsed.ok) return parsed.value;
    const got = secret.test(path) ? '' : `, got ${shown(raw)}`;
    return fault(raw.origin, path, `${parsed.error}${got}`);
  };

  const recordsValue = (field: Records<Shape>, raw: Raw | undefined, path: string, parent: Origin): unknown => {
    const given = absent(raw) ? rawOf(field.default, parent) : raw;
    if (given.kind !== 'list') return fault(given.origin, path, `expected a list, got ${shown(given)}`);
    return given.items.map((item, index) => {
      origins.set(`${path}.${index}`, item.origin);
      return shapeValue(field.fields, item, `${path}.${index}`);
    });
  };

  const fieldValue = (field: Field, raw: Raw | undefined, path: string, parent: Origin): unknown => {
    if (raw !== undefined) origins.set(path, raw.origin);
    if (field.kind === 'leaf') return leafValue(field, raw, path, parent);
    if (field.kind === 'records') return recordsValue(field, raw, path, parent);
    if (absent(raw)) return field.optional ? undefined : shapeValue(field.fields, emptyAt(parent), path);
    return shapeValue(field.fields, raw, path);
  };

  const shapeValue = (fields: Shape, raw: Raw, path: string): unknown => {
    const entries = absent(raw) ? emptyAt(root.origin) : raw;
    if (entries.kind !== 'map') {
      return fault(raw.origin, path, `expected keys with values, got ${shown(raw)}`);
    }
    const prefix = path === '' ? '' : `${path}.`;
    for (const [key, value] of entries.entries) {
      if (Object.hasOwn(fields, key)) continue;
      const near = suggest(key, Object.keys(fields));
      fault(value.origin, prefix + key, `there is no such key${near ? `; did you mean ${prefix}${near}?` : ''}`);
    }
    return Object.fromEntries(
      Object.entries(fields).map(([key, field]) => [
        camelCase(key),
        fieldValue(field, entries.entries.get(key), prefix + key, entries.origin),
      ]),
    );
  };

  return { value: shapeValue(shape, root, ''), faults, origins };
};

const emptyAt = (origin: Origin): Raw & { kind: 'map' } => ({ kind: 'map', origin, entries: new Map() });

const rawOf = (value: unknown, origin: Origin): Raw => {
  if (Array.isArray(value)) return { kind: 'list', origin, items: value.map((item) => rawOf(item, origin)) };
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, inner]): [string, Raw] => [key, rawOf(inner, origin)]);
    return { kind: 'map', origin, entries: new Map(entries) };
  }
  return { kind: 'value', origin, value };
};
