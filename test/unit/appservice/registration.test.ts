import { describe, expect, test } from '@jest/globals';
import { loadServices, parseRegistration } from '../../../src/appservice/index.ts';
import type { RoomAlias, ServerName } from '../../../src/matrix/ids.ts';
import { registrationFiles, registrationOf } from '../../support/app-service.ts';

const server = 'example.org' as ServerName;
const minimal = ['id: a', 'url: null', 'as_token: x', 'hs_token: y', 'sender_localpart: bot', 'namespaces: {}'];

function parsed(lines: readonly string[]) {
  const result = parseRegistration(lines.join('\n'), server);
  if (!result.ok) throw new Error(result.error.join('; '));
  return result.value;
}

function faults(lines: readonly string[]): readonly string[] {
  const result = parseRegistration(lines.join('\n'), server);
  return result.ok ? [] : result.error;
}

describe('a registration file', () => {
  test('gives everything that the standard form has, with its defaults', () => {
    expect(parsed(minimal)).toEqual({
      id: 'a',
      url: undefined,
      asToken: 'x',
      hsToken: 'y',
      sender: '@bot:example.org',
      users: [],
      aliases: [],
      rooms: [],
      rateLimited: true,
      protocols: [],
      receiveEphemeral: false,
      unstableEphemeral: false,
      encryption: false,
    });
    const whole = [
      ...[
        'id: IRC Bridge',
        'url: "http://127.0.0.1:1234/path/"',
        'as_token: x',
        'hs_token: y',
        'sender_localpart: bot',
      ],
      ...['namespaces:', '  users: [{exclusive: true, regex: "@_irc_.*"}]', '  aliases:', '  rooms: []'],
      ...['rate_limited: false', 'protocols: [irc]', 'de.sorunome.msc2409.push_ephemeral: true'],
      ...['org.matrix.msc3202: true', 'io.element.msc4190: true', 'some.other.key: [1]'],
    ];
    expect(parsed(whole)).toMatchObject({
      id: 'IRC Bridge',
      url: 'http://127.0.0.1:1234/path',
      users: [{ exclusive: true, regex: /^(?:@_irc_.*)/ }],
      rateLimited: false,
      protocols: ['irc'],
      receiveEphemeral: true,
      encryption: true,
    });
  });

  test('may hold tokens that look like numbers, and odd characters', () => {
    const lines = [...minimal.filter((line) => !line.startsWith('as_') && !line.startsWith('hs_'))];
    const { asToken, hsToken } = parsed([...lines, 'as_token: 0012e45', "hs_token: '`|{~}\\^_@'"]);
    expect([asToken, hsToken]).toEqual(['0012e45', '`|{~}\\^_@']);
  });

  test('is told every fault at once', () => {
    expect(
      faults(['id: a', 'as_token: "with space"', 'namespaces: {users: [{regex: "("}]}', 'rate_limited: maybe']),
    ).toEqual([
      expect.stringMatching(/^sender_localpart: /),
      expect.stringMatching(/^url: is required/),
      expect.stringMatching(/^as_token: /),
      expect.stringMatching(/^hs_token: is required/),
      expect.stringMatching(/^namespaces\.users\.0: /),
      expect.stringMatching(/^rate_limited: /),
    ]);
    expect(faults(['[1, 2]'])).toEqual(['expected keys with values']);
    expect(faults(['id: "unclosed'])).not.toEqual([]);
    expect(faults(minimal.map((line) => line.replace('null', 'ftp://x')))).toEqual([
      'url: expected an http or https address, or null',
    ]);
  });

  test('shares neither id nor token nor sender with another', async () => {
    await using files = await registrationFiles(
      registrationOf(null),
      registrationOf(null),
      registrationOf(null, { id: 'c', as_token: 'c', sender_localpart: 'c' }),
    );
    expect(() => loadServices([...files.files, '/nowhere.yaml'], server)).toThrow(
      /1\.yaml: id: the same as in .*0\.yaml[^]*1\.yaml: as_token: [^]*1\.yaml: sender_localpart: /,
    );
    expect(() => loadServices(['/nowhere.yaml'], server)).toThrow(/nowhere\.yaml: cannot be read/);
  });
});

describe('namespaces', () => {
  async function registry(regex: string, exclusive = true) {
    const namespaces = { users: [{ exclusive, regex }], aliases: [{ exclusive, regex: regex.replace('@', '#') }] };
    await using files = await registrationFiles(registrationOf(null, { namespaces }));
    return loadServices(files.files, server);
  }

  test('begin where the expression begins, and hold users of this server only', async () => {
    const services = await registry('@irc_.*');
    const owned = (user: string) => services.ownersOfUser(user).length === 1;
    expect(owned('@irc_x:example.org')).toBe(true);
    expect(owned('@my@irc_x:example.org')).toBe(false);
    expect(owned('@irc_x:elsewhere.org')).toBe(false);
    expect(owned('@bridgebot:example.org')).toBe(true);
  });

  test.each([
    ['@[[:lower:][:digit:]]+_x:example\\.org', '@ab1_x:example.org', '@AB_x:example.org'],
    ['(?i)@IRC_.*', '@irc_x:example.org', '@x:example.org'],
    ['@(?P<name>a|b)_(?P=name)?.*', '@a_:example.org', '@c_:example.org'],
    ['^@whatsapp_\\d+:example\\.org$', '@whatsapp_1:example.org', '@whatsapp_x:example.org'],
    ['@tele\\-gram_.*', '@tele-gram_1:example.org', '@telegram_1:example.org'],
  ])('understand %s as other servers do', async (regex, inside, outside) => {
    const services = await registry(regex);
    expect(services.reservesUser(inside)).toBe(true);
    expect(services.reservesUser(outside)).toBe(false);
  });

  test('that are not exclusive keep nobody out', async () => {
    const services = await registry('@irc_.*', false);
    expect(services.reservesUser('@irc_x:example.org')).toBe(false);
    expect(services.reservesUser('@bridgebot:example.org')).toBe(true);
    const alias = '#irc_x:example.org' as RoomAlias;
    expect(services.checkAlias(alias, undefined, true)).toBe(false);
    expect(services.checkAlias(alias, 'bridge', true)).toBe(true);
  });
});
