/**
 * Renders the schema as a commented YAML file: config.example.yaml, and the file that `neurite init` writes. Every key
 * stands in it with meaning, what may be written, and default; a line `#key: value` is switched on by removing its `#`.
 */
import { yaml } from '../util/lazy.ts';
import type { Field, Shape } from './field.ts';
import { schema } from './schema.ts';

const width = 100;

const head = [
  'Configuration of Neurite. No file is needed: every key has a default or may be left out.',
  'A line that starts with # and no space is a key at its default (or an example, where it says so): remove the # and',
  'change the value. Each key can also be set by an environment variable, such as',
  'NEURITE_REGISTRATION__MODE=open for registration.mode, or by --set registration.mode=open.',
  'What counts, in this order: flag, environment, file, default.',
];

const wrap = (text: string, indent: string): string[] => {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && `${indent}# ${line} ${word}`.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((part) => `${indent}# ${part}`);
};

const yamlOf = (key: string, value: unknown): string[] => {
  const flat = Array.isArray(value) && value.every((item) => typeof item !== 'object');
  const text = yaml()
    .stringify(
      { [key]: value },
      { lineWidth: 0, ...(flat ? { collectionStyle: 'flow', flowCollectionPadding: false } : {}) },
    )
    .trimEnd();
  // The flow style puts braces around the outer map too.
  return (flat ? text.replace(/^\{/, '').replace(/\}$/, '') : text).split('\n');
};

const itemDocs = (fields: Shape, indent: string, prefix: string): string[] =>
  Object.entries(fields).flatMap(([key, field]) => {
    if (field.kind === 'section') {
      return [
        ...wrap(`- ${prefix}${key}: ${field.doc}`, indent),
        ...itemDocs(field.fields, indent, `${prefix}${key}.`),
      ];
    }
    if (field.kind === 'records') return [];
    const fallback = field.required ? 'required' : field.default === undefined ? '' : `default ${flow(field.default)}`;
    return wrap(`- ${prefix}${key}: ${field.doc}${fallback === '' ? '' : ` (${fallback})`}`, indent);
  });

const flow = (value: unknown): string =>
  Array.isArray(value)
    ? `[${value.map(String).join(', ')}]`
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);

const renderField = (key: string, field: Field, indent: string, given: unknown): string[] => {
  if (field.kind === 'section') {
    const inner = typeof given === 'object' && given !== null ? given : {};
    return [...wrap(field.doc, indent), `${indent}${key}:`, ...renderShape(field.fields, `${indent}  `, inner)];
  }
  const accepts = field.kind === 'records' || field.accepts === 'a text' ? '' : ` Write ${field.accepts}.`;
  const docs = wrap(field.doc + accepts, indent);
  if (field.kind === 'records') docs.push(...itemDocs(field.fields, indent, ''));
  const without = field.kind === 'records' ? field.default.length === 0 : field.default === undefined;
  const example = field.kind === 'records' ? [field.example] : field.example;
  if (given !== undefined) return [...docs, ...yamlOf(key, given).map((line) => indent + line)];
  if (without) docs.push(`${indent}# Default: ${field.kind === 'records' ? 'none' : 'not set'}. Example:`);
  return [...docs, ...yamlOf(key, without ? example : field.default).map((line) => `${indent}#${line}`)];
};

const renderShape = (fields: Shape, indent: string, given: object): string[] =>
  Object.entries(fields).flatMap(([key, field], index) => [
    ...(index > 0 ? [''] : []),
    ...renderField(key, field, indent, new Map(Object.entries(given)).get(key)),
  ]);

/**
 * A configuration file with every key documented; those in `given` (nested as in a file) are set, the others are shown as
 * comments at their defaults.
 */
export const renderConfig = (given: object): string =>
  [...head.map((line) => `# ${line}`), '', ...renderShape(schema, '', given), ''].join('\n');

/** The text of config.example.yaml. */
export const renderExampleYaml = (): string => renderConfig({});
