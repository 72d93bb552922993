/**
 * Makes `operations.json` beside this file from the specification's machine-readable data (matrix-org/matrix-spec,
 * folder `data`, and the table of operations made from it): `node test/golden/make-golden.ts FOLDER`. Schemas that are
 * referred to stand once, under `$defs`; examples and descriptions are left out.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { parse } from 'yaml';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

const [folder = '.'] = process.argv.slice(2);
const documents = new Map<string, JsonObject>();
const defs: JsonObject = {};

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function load(path: string): JsonObject {
  let document = documents.get(path);
  if (document === undefined) {
    document = parse(readFileSync(join(folder, path), 'utf8')) as JsonObject;
    documents.set(path, document);
  }
  return document;
}

function pointed(document: JsonObject, pointer: string): Json {
  let value: Json = document;
  for (const step of pointer.split('/').filter((part) => part !== '')) {
    value = (value as JsonObject)[step.replaceAll('~1', '/').replaceAll('~0', '~')] ?? null;
  }
  return value;
}

const dropped = new Set(['description', 'example', 'examples', 'title', 'x-addedInMatrixVersion', 'x-changedInMatrixVersion', 'x-weight']);

/** A copy of a schema with its references led to `$defs`. `properties` may have members of any name. */
function bundled(value: Json, path: string, names: boolean): Json {
  if (Array.isArray(value)) return value.map((item) => bundled(item, path, false));
  if (!isObject(value)) return value;
  const reference = value['$ref'];
  const copy: JsonObject = {};
  if (typeof reference === 'string' && !names) copy['$ref'] = `#/$defs/${defined(reference, path)}`;
  for (const [key, member] of Object.entries(value)) {
    if (!names && (key === '$ref' || dropped.has(key))) continue;
    // Alternatives that overlap (an event is an object like its content) are meant as "any of".
    const name = !names && key === 'oneOf' ? 'anyOf' : key;
    copy[name] = bundled(member, path, !names && (key === 'properties' || key === 'patternProperties'));
  }
  return copy;
}

function defined(reference: string, from: string): string {
  const [file = '', pointer = ''] = reference.split('#');
  const path = file === '' ? from : normalize(join(dirname(from), file));
  const name = `${path}#${pointer}`.replaceAll(/[^A-Za-z0-9_.-]/g, '_');
  if (!(name in defs)) {
    // First a placeholder: schemas may refer to themselves.
    defs[name] = {};
    defs[name] = bundled(pointed(load(path), pointer), path, false);
  }
  return name;
}

/** Response schemas of an operation by status, where they are JSON. */
function responses(operation: JsonObject, path: string): JsonObject {
  const found: JsonObject = {};
  for (const [status, response] of Object.entries((operation['responses'] ?? {}) as JsonObject)) {
    const content = isObject(response) ? response['content'] : undefined;
    const json = isObject(content) ? content['application/json'] : undefined;
    if (isObject(json) && json['schema'] !== undefined) found[status] = bundled(json['schema'], path, false);
  }
  return found;
}

/** The lines of a CSV file with quoted cells, by the names of its first line. */
function table(text: string): Record<string, string>[] {
  const lines = text.trim().split('\n').map((line) => [...line.matchAll(/("([^"]*)"|[^,]*)(,|$)/g)].map((cell) => cell[2] ?? cell[1] ?? ''));
  const [head = [], ...rows] = lines;
  return rows.map((row) => Object.fromEntries(head.map((name, index) => [name, row[index] ?? ''])));
}

const operations = table(readFileSync(join(folder, 'endpoints.csv'), 'utf8'))
  .filter((row) => row['api'] === 'cs' || row['api'] === 'ss')
  .map((row) => {
    const source = row['source'] ?? '';
    const document = load(source);
    const paths = document['paths'] as JsonObject;
    const method = (row['method'] ?? '').toLowerCase();
    const operation = Object.values(paths)
      .map((item) => (item as JsonObject)[method])
      .find((candidate) => isObject(candidate) && candidate['operationId'] === row['operationId']);
    return {
      api: row['api'],
      method: row['method'],
      path: row['path'],
      auth: row['auth'],
      guest: row['guest'],
      rateLimited: row['rate_limited'] === 'yes',
      deprecated: row['deprecated'] === 'yes',
      responses: isObject(operation) ? responses(operation, source) : {},
    };
  });
writeFileSync(join(import.meta.dirname, 'operations.json'), `${JSON.stringify({ operations, $defs: defs })}\n`);
