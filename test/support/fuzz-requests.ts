/**
 * Requests that no client would send, made from the rows themselves: right and wrong ids in paths, queries and bodies
 * shaped by the row's schemas and then bent, broken JSON, odd encodings and headers. All from one seed.
 */
import fc from 'fast-check';
import type { Route } from '../../src/http/index.ts';

export interface FuzzRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
  /** Index of the account whose token goes along; undefined: none or nonsense. */
  readonly account: number | undefined;
}

/** Ids that exist on the server, by the name of the parameter that takes them. */
export type KnownIds = Readonly<Record<string, readonly string[]>>;

const oddText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    '.',
    '..',
    '../../etc/passwd',
    '%',
    '%00',
    '\u0000',
    '0',
    '-1',
    'null',
    '__proto__',
    'constructor',
    '*',
  ),
  fc.constantFrom('!', '@', '#x', '$', '@a:b:c', '!x:localhost', '@é:localhost', 'a'.repeat(300), '🎉'.repeat(70)),
  fc.constantFrom("' OR 1=1 --", '"}', '<script>', '\ud800', '9007199254740993', '1e400', 'true'),
);

const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: oddText },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(null, true, -1, 0, 1.5, 1e308, 2 ** 53, {}, [], [[]], [null], { a: [{}] }) },
);

interface SchemaLike {
  readonly type?: string;
  readonly entries?: Readonly<Record<string, SchemaLike>>;
  readonly wrapped?: SchemaLike;
  readonly item?: SchemaLike;
  readonly options?: readonly unknown[];
  readonly pipe?: readonly SchemaLike[];
}

/** Values that fit a schema as far as its shape tells, mixed with values that don't. */
function fitting(schema: SchemaLike | undefined, ids: fc.Arbitrary<string>, depth: number): fc.Arbitrary<unknown> {
  if (schema === undefined || depth > 4) return oddValue;
  const inner = schema.wrapped ?? (schema.pipe?.[0] === schema ? undefined : schema.pipe?.[0]);
  if (inner !== undefined) return fitting(inner, ids, depth + 1);
  const right = (): fc.Arbitrary<unknown> => {
    switch (schema.type) {
      case 'string':
        return fc.oneof(ids, oddText);
      case 'number':
        return fc.oneof(fc.integer(), fc.constantFrom(0, -1, 2 ** 53 - 1, 2 ** 53, 1.5));
      case 'boolean':
        return fc.boolean();
      case 'picklist':
      case 'union':
        return schema.options === undefined || schema.options.length === 0
          ? oddValue
          : fc.oneof(
              ...schema.options.map((option) =>
                typeof option === 'object' && option !== null
                  ? fitting(option as SchemaLike, ids, depth + 1)
                  : fc.constant(option),
              ),
            );
      case 'array':
        return fc.array(fitting(schema.item, ids, depth + 1), { maxLength: 4 });
      case 'object':
      case 'loose_object':
      case 'strict_object':
        return fittingObject(schema, ids, depth);
      default:
        return fc.oneof(oddValue, fc.dictionary(oddText, oddValue, { maxKeys: 4 }));
    }
  };
  return fc.oneof({ weight: 4, arbitrary: right() }, { weight: 1, arbitrary: oddValue });
}

function fittingObject(schema: SchemaLike, ids: fc.Arbitrary<string>, depth: number): fc.Arbitrary<unknown> {
  const model: Record<string, fc.Arbitrary<unknown>> = {};
  for (const [key, entry] of Object.entries(schema.entries ?? {})) model[key] = fitting(entry, ids, depth + 1);
  return fc
    .tuple(fc.record(model, { requiredKeys: [] }), fc.dictionary(oddText, oddValue, { maxKeys: 2 }))
    .map(([known, extra]) => ({ ...extra, ...known }));
}

const brokenBodies = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom(
      '{',
      '[]',
      '"x"',
      'null',
      '{"a":1,"a":2}',
      '{"a":01}',
      '{"a":"\ud800"}',
      '['.repeat(3000),
      '{"a":1}x',
      ' ',
    )
    .map((text) => Buffer.from(text)),
  fc.constant(Buffer.from([0xff, 0xfe, 0x7b, 0x7d])),
);

/** Headers that the server or a library below it reads. What follows `authorization` is put over it by the account's. */
const oddHeaders: Record<string, fc.Arbitrary<string>> = {
  authorization: fc.constantFrom(
    'Bearer',
    'Bearer  ',
    'Basic Zm9v',
    'X-Matrix origin="a",key="b",sig="c"',
    'x'.repeat(9000),
  ),
  'x-forwarded-for': fc.constantFrom('', ',', '10.0.0.1', '::1, 999.1.1.1', 'x'.repeat(2000), '127.0.0.1,'.repeat(300)),
  range: fc.constantFrom('bytes=0-', 'bytes=-1', 'bytes=5-1', 'bytes=0-0,2-3', 'lines=1', 'bytes=9e99-'),
  'if-none-match': fc.constantFrom('*', '"x"', 'W/"', ','),
  'content-encoding': fc.constantFrom('gzip', 'br', 'identity', 'none'),
  'accept-encoding': fc.constantFrom('gzip;q=9', '*', ''),
  'accept-language': fc.constantFrom('*', 'xx-'.repeat(200), 'de;q=x'),
  'user-agent': fc.constantFrom('', '\u00ff'.repeat(500), '<script>'),
  host: fc.constantFrom('', 'localhost', 'evil.example:99999', '[::1'),
  origin: fc.constantFrom('null', 'https://evil.example', 'x'),
  expect: fc.constantFrom('100-continue'),
};

const encoded = (text: string): string => {
  try {
    return encodeURIComponent(text);
  } catch {
    return '%ED%A0%80';
  }
};

/** One request for a row. */
export function requestFor(row: Route, known: KnownIds, accounts: number): fc.Arbitrary<FuzzRequest> {
  const everyId = Object.values(known).flat();
  const ids = fc.constantFrom(...everyId);
  const parts = row.path.split('/').map((part) => {
    if (!part.startsWith(':')) return fc.constant(part);
    const fitIds = known[part.slice(1)];
    const right = fitIds === undefined ? ids : fc.constantFrom(...fitIds);
    return fc.oneof({ weight: 5, arbitrary: right.map(encoded) }, { weight: 1, arbitrary: oddText.map(encoded) });
  });
  const path = fc.tuple(...parts).map((texts) => texts.join('/'));
  const query = fittingObject((row.query ?? {}) as SchemaLike, ids, 1).map((values) => {
    const pairs = Object.entries(values as Record<string, unknown>).flatMap(([key, value]) =>
      (Array.isArray(value) ? value : [value]).map((one) => `${encoded(key)}=${encoded(String(textOf(one)))}`),
    );
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  });
  const shaped = fitting((row.body ?? { type: 'object' }) as SchemaLike, ids, 0).map((value) =>
    Buffer.from(textOf(value)),
  );
  const body =
    row.method === 'GET'
      ? fc.constant(undefined)
      : fc.oneof(
          { weight: 6, arbitrary: shaped },
          { weight: 1, arbitrary: brokenBodies },
          { weight: 1, arbitrary: fc.constant(undefined) },
        );
  const contentType = fc.constantFrom(
    'application/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'image/png',
    '',
  );
  const headers = fc.oneof(
    { weight: 4, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: fc.record(oddHeaders, { requiredKeys: [] }) },
  );
  const account = fc.oneof(
    { weight: 6, arbitrary: fc.nat({ max: accounts - 1 }) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
  return fc.record({ path, query, body, contentType, headers, account }).map((made) => ({
    method: row.method,
    path: made.path + made.query,
    headers: { ...made.headers, ...(made.contentType === '' ? {} : { 'content-type': made.contentType }) },
    body: made.body,
    account: made.account,
  }));
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value) ?? 'undefined';
  } catch {
    return '{}';
  }
}
