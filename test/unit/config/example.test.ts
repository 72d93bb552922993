import { describe, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { formatFault, loadConfig, renderConfig, renderExampleYaml } from '../../../src/config/index.ts';
import { suggest } from '../../../src/config/suggest.ts';

const load = (content: string): unknown => {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-example-'));
  try {
    writeFileSync(join(folder, 'neurite.yaml'), content);
    const loaded = loadConfig({ file: join(folder, 'neurite.yaml'), env: {} });
    return loaded.ok ? loaded.value : loaded.error.map(formatFault);
  } finally {
    rmSync(folder, { recursive: true });
  }
};
const defaults = load('');
/** The example with every commented key switched on, but for those that only show an example. */
const switchedOn = (content: string): string =>
  content.replace(/^( *)# Default: .*\n(?: *#(?! \S).+\n)+/gm, '').replace(/^( *)#(?! \S)(.+)$/gm, '$1$2');

describe('config.example.yaml', () => {
  test('is what the schema renders (npm run config:example writes it)', () => {
    const file = new URL('../../../config.example.yaml', import.meta.url);
    expect(readFileSync(file, 'utf8')).toBe(renderExampleYaml());
  });

  test('changes nothing as it stands', () => {
    expect(load(renderExampleYaml())).toEqual(defaults);
  });

  test('shows the defaults: with every key switched on it still changes nothing', () => {
    const on = switchedOn(renderExampleYaml());
    expect(parse(on)).toMatchObject({ server_name: 'localhost', sync: { timeline_limit: { max: 1000 } } });
    expect(load(on)).toEqual(defaults);
  });

  test('with its examples switched on too it is a valid file', () => {
    const on = renderExampleYaml().replace(/^( *)#(?! \S)(.+)$/gm, '$1$2');
    expect(load(on)).toMatchObject({ workers: { count: 2 }, registration: { terms: [{ language: 'en' }] } });
  });

  test('a written file sets the given keys and keeps the others as comments', () => {
    const written = renderConfig({ server_name: 'example.org', log: { level: 'warn' } });
    expect(load(written)).toMatchObject({ serverName: 'example.org', log: { level: 'warn', format: 'text' } });
    expect(written).toContain('\n#data_dir: ./neurite-data\n');
  });
});

describe('suggestions', () => {
  test('the nearest name is offered, and none when all are far', () => {
    expect(suggest('lsiteners', ['listeners', 'limits'])).toBe('listeners');
    expect(suggest('colour', ['listeners', 'limits'])).toBeUndefined();
  });
});
