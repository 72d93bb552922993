/**
 * What a run of a public suite came to: a table by area and a list of what did not pass, on stdout, in `test/results` and
 * (with `--record`) in this folder's README between two marks. `expected-failures.tsv` (suite, test, cause) names what
 * is known not to pass, and why; a name there may end in `*`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { repository } from '../support/server-process.ts';

export type Verdict = 'passed' | 'failed' | 'skipped';

export interface Result {
  readonly area: string;
  readonly name: string;
  readonly verdict: Verdict;
  /** Why it was skipped, as the suite says it. */
  readonly why?: string;
}

export interface Report {
  /** `sytest` or `complement`. */
  readonly suite: string;
  readonly title: string;
  /** In the order in which they ran. */
  readonly results: readonly Result[];
  /** Names that the run was to pass; those that did not run at all are reported too. */
  readonly wanted?: readonly string[];
  /** Whether to put the tables into the README. */
  readonly record: boolean;
}

const verdicts: readonly Verdict[] = ['passed', 'failed', 'skipped'];
const here = import.meta.dirname;

/** Cause by test name, of one suite. */
function expectedFailures(suite: string): (name: string) => string | undefined {
  const rows = readFileSync(join(here, 'expected-failures.tsv'), 'utf8')
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([of]) => of === suite);
  return (name) =>
    rows.find(([, test = '']) => (test.endsWith('*') ? name.startsWith(test.slice(0, -1)) : name === test))?.[2];
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const code = (text: string): string => (text.includes('`') ? cell(text) : `\`${cell(text)}\``);

function table(results: readonly Result[]): string[] {
  const areas = [...new Set(results.map(({ area }) => area))].sort();
  const row = (label: string, of: readonly Result[]): string =>
    `| ${[label, ...verdicts.map((verdict) => of.filter((each) => each.verdict === verdict).length)].join(' | ')} |`;
  return [
    '| Area | Passed | Failed | Skipped |',
    '| --- | ---: | ---: | ---: |',
    ...areas.map((area) =>
      row(
        code(area),
        results.filter((each) => each.area === area),
      ),
    ),
    row('**all**', results),
  ];
}

function list(heading: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `${heading}:`, '', ...lines.map((line) => `- ${line}`)];
}

/** Puts text between `<!-- NAME -->` and `<!-- /NAME -->` of the README. */
async function record(name: string, text: string): Promise<void> {
  const file = join(here, 'README.md');
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const old = readFileSync(file, 'utf8');
  const [start, end] = [old.indexOf(open), old.indexOf(close)];
  if (start < 0 || end < start) throw new Error(`${file} has no ${open} … ${close}`);
  const whole = `${old.slice(0, start + open.length)}\n\n${text}\n${old.slice(end)}`;
  writeFileSync(file, await format(whole, { ...(await resolveConfig(file)), filepath: file }));
}

/** Writes the report; answers whether all that did not pass was expected. */
export async function report({ suite, title, results, wanted = [], record: recorded }: Report): Promise<boolean> {
  const causeOf = expectedFailures(suite);
  const ran = new Map(results.map((result) => [result.name, result]));
  const failed = results.filter(({ verdict }) => verdict === 'failed');
  const skipped = results.filter(({ verdict }) => verdict === 'skipped');
  const absent = wanted.filter((name) => !ran.has(name));
  const unexpected = [
    ...failed.map(({ name }) => name),
    ...skipped.filter(({ name }) => wanted.includes(name)).map(({ name }) => name),
    ...absent,
  ].filter((name) => causeOf(name) === undefined);
  const withCause = (name: string, otherwise = 'cause not known'): string =>
    `${code(name)}: ${causeOf(name) ?? otherwise}`;
  const text = [
    title,
    '',
    ...table(results),
    ...list(
      'Failed',
      failed.map(({ name }) => withCause(name)),
    ),
    ...list(
      'Skipped',
      skipped.map(({ name, why }) => withCause(name, why)),
    ),
    ...list(
      'Did not run',
      absent.map((name) => withCause(name)),
    ),
    '',
  ].join('\n');
  const folder = join(repository, 'test/results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${suite}.md`), text);
  process.stdout.write(`\n${text}`);
  if (recorded) await record(suite, text);
  return unexpected.length === 0;
}

/** Ends with one sentence: what is missing and how to get it. */
export function skipped(why: string): never {
  process.stdout.write(`skipped: ${why}\n`);
  process.exit(0);
}

/** The command that starts the built server (`NEURITE_COMMAND` names another). */
export const serverCommand = (): string =>
  process.env['NEURITE_COMMAND'] ?? `${process.execPath} ${join(repository, 'bin/neurite.js')}`;
