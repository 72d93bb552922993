import { describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config, ConfigSources } from '../../../src/config/index.ts';
import { formatFault, loadConfig, publicBaseUrl, trustedProxyList } from '../../../src/config/index.ts';

const inFile = <T>(content: string, use: (file: string) => T): T => {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-config-'));
  try {
    const file = join(folder, 'neurite.yaml');
    writeFileSync(file, content);
    return use(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const config = (sources: Partial<ConfigSources> = {}): Config => {
  const loaded = loadConfig({ env: {}, ...sources });
  if (!loaded.ok) throw new Error(loaded.error.map(formatFault).join('\n'));
  return loaded.value;
};

const faults = (sources: Partial<ConfigSources>): string[] => {
  const loaded = loadConfig({ env: {}, ...sources });
  return loaded.ok ? [] : loaded.error.map((fault) => formatFault(fault).replace(/^\S*neurite\.yaml/, 'neurite.yaml'));
};

const fileFaults = (content: string): string[] => inFile(content, (file) => faults({ file }));

describe('defaults', () => {
  test('without any source there is one loopback listener for client, federation and admin', () => {
    expect(config().listeners).toEqual([
      { address: '127.0.0.1', port: 8008, tls: undefined, resources: ['client', 'federation', 'admin'] },
    ]);
  });

  test('durations are milliseconds and sizes are bytes', () => {
    expect(config().rooms.redactionRetention).toBe(7 * 24 * 3600 * 1000);
    expect(config().passwords.memory).toBe(19 * 1024 * 1024);
    expect(config({ sets: ['rooms.redaction_retention=1.5h', 'limits.request_body=1MB'] })).toMatchObject({
      rooms: { redactionRetention: 5_400_000 },
      limits: { requestBody: 1_000_000 },
    });
  });

  test('the config is frozen all the way down', () => {
    expect(Object.isFrozen(config().listeners[0]?.resources)).toBe(true);
    expect(Object.isFrozen(config().sync.timelineLimit)).toBe(true);
  });

  test('an empty file and a section without keys count as nothing given', () => {
    inFile('', (file) => expect(config({ file })).toEqual(config()));
    inFile('sync:\nlog:\n', (file) => expect(config({ file })).toEqual(config()));
  });
});

describe('precedence', () => {
  test('flag goes before environment, environment before file, file before default', () => {
    inFile('server_name: file.example\ndata_dir: /file\nlog: { level: warn, format: json }\n', (file) => {
      const loaded = config({
        file,
        env: { NEURITE_DATA_DIR: '/env', NEURITE_LOG__LEVEL: 'debug', PATH: '/bin' },
        sets: ['data_dir=/set'],
        flags: { data: '/flag' },
      });
      expect(loaded.dataDir).toBe('/flag');
      expect(loaded.log).toEqual({ level: 'debug', format: 'json' });
      expect(loaded.serverName).toBe('file.example');
      expect(loaded.sync.linearMaxEntries).toBe(1024);
    });
  });

  test('--listen replaces all listeners by one with the default resources', () => {
    const env = { NEURITE_LISTENERS: '[{port: 1}, {port: 2}]' };
    expect(config({ env, flags: { listen: '[::1]:9000' } }).listeners).toEqual([
      { address: '::1', port: 9000, tls: undefined, resources: ['client', 'federation', 'admin'] },
    ]);
    expect(faults({ flags: { listen: 'nowhere' } })[0]).toContain('--listen: expected HOST:PORT');
  });

  test('lists and sections from the environment are YAML or JSON', () => {
    const env = {
      NEURITE_LISTENERS:
        '[{"address": "::", "port": 8448, "tls": {"cert": "c.pem", "key": "k.pem"}, "resources": ["federation"]}]',
      NEURITE_TRUSTED_PROXIES: '[10.0.0.0/8]',
      NEURITE_SYNC__TIMELINE_LIMIT: '{max: 50}',
    };
    expect(config({ env })).toMatchObject({
      listeners: [{ port: 8448, tls: { cert: 'c.pem', key: 'k.pem' }, resources: ['federation'] }],
      trustedProxies: ['10.0.0.0/8'],
      sync: { timelineLimit: { default: 10, max: 50 } },
    });
  });

  test('a text key takes its text as it stands, even when it looks like YAML', () => {
    const env = { NEURITE_REGISTRATION__SHARED_SECRET: '0x1: [a]', NEURITE_REGISTRATION__TOKEN: '' };
    expect(config({ env }).registration).toMatchObject({ sharedSecret: '0x1: [a]', token: undefined });
  });
});

describe('faults', () => {
  test('all faults of a file are reported at once, with their lines and suggestions', () => {
    const content = [
      'server_nam: example.org',
      'registration:',
      '  mode: opne',
      '  share_secret: x',
      'sync:',
      '  linear_max_entries: lots',
      '  timeline_limit:',
      '    max: 0',
      'listeners:',
      '  - port: 70000',
      '    resources: [client, clients]',
      '  - tls:',
      '      cert: a.pem',
      'limits:',
      '  request_body: 5 potatoes',
      'server_nam: twice',
    ].join('\n');
    expect(fileFaults(content)).toEqual([
      'neurite.yaml:1: server_nam: there is no such key; did you mean server_name?',
      'neurite.yaml:3: registration.mode: expected one of open, token, closed, got "opne"',
      'neurite.yaml:4: registration.share_secret: there is no such key; did you mean registration.shared_secret?',
      expect.stringContaining('neurite.yaml:6: sync.linear_max_entries: expected a whole number'),
      expect.stringContaining('neurite.yaml:8: sync.timeline_limit.max: expected a whole number of at least 1, got 0'),
      expect.stringContaining('neurite.yaml:10: listeners.0.port: expected a whole number from 0 to 65535'),
      expect.stringContaining('neurite.yaml:11: listeners.0.resources: expected a list'),
      'neurite.yaml:12: listeners.1.tls.key: is required',
      expect.stringContaining('neurite.yaml:15: limits.request_body: expected a size with its unit'),
      'neurite.yaml:16: this key stands twice',
    ]);
  });

  test('text that is not YAML is a fault with its line', () => {
    expect(fileFaults('server_name: a\nlog: [1\nx: }')[0]).toMatch(/^neurite\.yaml:[23]: not valid YAML/);
  });

  test('a file that is a list or a text, or cannot be read, is a fault', () => {
    expect(fileFaults('- a')[0]).toContain('expected keys with values');
    expect(fileFaults('hello')[0]).toContain('expected keys with values');
    expect(faults({ file: join(tmpdir(), 'no', 'such', 'neurite.yaml') })[0]).toContain('cannot be read');
  });

  test('faults of environment and flags name the variable and the flag', () => {
    expect(
      faults({ env: { NEURITE_LOG__LEVL: 'info', NEURITE_LOG__FORMAT: 'xml' }, sets: ['log.leve=info', 'log'] }),
    ).toEqual([
      'NEURITE_LOG__LEVL: there is no such key; did you mean NEURITE_LOG__LEVEL?',
      '--set log.leve: there is no such key; did you mean log.level?',
      '--set log: expected path.to.key=value',
      'NEURITE_LOG__FORMAT: log.format: expected one of text, json, got "xml"',
    ]);
  });

  test('variables that an orchestrator sets for a service of this name are left alone', () => {
    const env = { NEURITE_PORT: 'tcp://10.0.0.1:8008', NEURITE_SERVICE_HOST: '10.0.0.1' };
    expect(faults({ env })).toEqual([]);
  });

  test('a wrong secret is not repeated', () => {
    expect(fileFaults('registration: { token: "hunter 2!" }')[0]).not.toContain('hunter');
  });

  test('keys that contradict each other are faults at their line', () => {
    expect(fileFaults('sync:\n  timeline_limit:\n    max: 5\nlisteners: [{port: 1}, {port: 1}]')).toEqual([
      'neurite.yaml:2: sync.timeline_limit.default: must not be above sync.timeline_limit.max',
      'neurite.yaml:4: listeners.1: 127.0.0.1:1 is taken by an earlier listener',
    ]);
  });
});

describe('what follows from the config', () => {
  test('the public address is the configured one, or follows from the server name', () => {
    expect(publicBaseUrl(config())).toBe('http://localhost:8008');
    expect(publicBaseUrl(config({ sets: ['server_name=example.org'] }))).toBe('https://example.org');
    expect(publicBaseUrl(config({ sets: ['public_base_url=https://m.example.org/'] }))).toBe('https://m.example.org');
  });

  test('trusted proxies are addresses and ranges of both families', () => {
    const trusted = trustedProxyList(config({ sets: ['trusted_proxies=[10.0.0.0/8, "fd00::/8", 192.0.2.1]'] }));
    expect([trusted.check('10.1.2.3'), trusted.check('fd12::1', 'ipv6'), trusted.check('192.0.2.2')]).toEqual([
      true,
      true,
      false,
    ]);
    expect(faults({ sets: ['trusted_proxies=[10.0.0.0/33]'] })).toHaveLength(1);
  });
});
