import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const cli = resolve(import.meta.dirname, '../../../src/cli.ts');
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'neurite-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const neurite = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
};

describe('the command line', () => {
  test('version names the package and Node', () => {
    expect(neurite('version').stdout).toMatch(/^neurite \d+\.\d+\.\d+ on Node \d+/);
  });

  test('check-config shows every fault of the file in the working directory and ends with status 1', () => {
    expect(neurite('check-config')).toEqual({ status: 0, stdout: 'The configuration is valid.\n', stderr: '' });
    writeFileSync(join(folder, 'neurite.yaml'), 'server_name: a b\nlogg: {}\n');
    const { status, stderr } = neurite('check-config', '--set', 'log.level=loud');
    expect(status).toBe(1);
    expect(stderr.split('\n').map((line) => line.trim().split(': ').slice(0, 2))).toEqual([
      ['neurite', 'The configuration has faults:'],
      ['--set log.level', 'log.level'],
      ['neurite.yaml:1', 'server_name'],
      ['neurite.yaml:2', 'logg'],
      [''],
    ]);
  });

  test('init writes a documented file that is valid, makes the data folder, and never writes over a file', () => {
    expect(neurite('init', '--server-name', 'example.org').status).toBe(0);
    const written = readFileSync(join(folder, 'neurite.yaml'), 'utf8');
    expect(written).toContain('\nserver_name: example.org\n');
    expect(existsSync(join(folder, 'neurite-data'))).toBe(true);
    expect(neurite('check-config').status).toBe(0);
    expect(neurite('init', '--server-name', 'other.org').status).toBe(1);
    expect(readFileSync(join(folder, 'neurite.yaml'), 'utf8')).toBe(written);
  });

  test('run refuses a data folder of another server name in one sentence', () => {
    neurite('init', '--server-name', 'example.org');
    const { status, stderr } = neurite('--server-name', 'other.org', '--data', 'neurite-data');
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^neurite: The data folder \S+ belongs to the server name example\.org, not other\.org\.\n$/,
    );
  });
});
