/** Dot-separated property paths (Appendices v1.19): `content.m\.relates_to.rel_type`. */
import type { JsonObject, JsonValue } from './json.ts';
import { isJsonObject } from './json.ts';

/** The property names of a path: `\.` and `\\` are a literal dot and backslash, other escapes stay as they are. */
export const parsePath = (path: string): string[] => {
  const names = [''];
  for (const [token] of path.matchAll(/\\[.\\]|[^]/g)) {
    if (token === '.') names.push('');
    else names[names.length - 1] += token.length === 2 && token.startsWith('\\') ? token.slice(1) : token;
  }
  return names;
};

/** The value at the path; undefined when some name on the way is absent or not in an object. */
export const valueAt = (object: JsonObject, path: readonly string[]): JsonValue | undefined => {
  let value: JsonValue | undefined = object;
  for (const name of path) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
};
