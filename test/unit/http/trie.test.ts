import { describe, expect, test } from '@jest/globals';
import { pathsOf } from '../../../src/http/kernel.ts';
import { RouteTrie } from '../../../src/http/trie.ts';

const trieOf = (...paths: readonly string[]): RouteTrie<string> => {
  const trie = new RouteTrie<string>();
  for (const path of paths) trie.add('GET', path, path);
  return trie;
};

describe('the route table', () => {
  test('a slash or plus inside an event id stays inside its parameter', () => {
    const trie = trieOf('/rooms/:roomId/event/:eventId');
    expect(trie.find('GET', '/rooms/!a:b/event/$x%2Fy+z%3D')).toEqual({
      kind: 'match',
      value: '/rooms/:roomId/event/:eventId',
      params: { roomId: '!a:b', eventId: '$x/y+z=' },
    });
  });

  test('a segment is decoded once', () => {
    expect(trieOf('/a/:x').find('GET', '/a/%252F')).toMatchObject({ params: { x: '%2F' } });
  });

  test('an empty last segment is a parameter of its own', () => {
    const trie = trieOf('/state/:type', '/state/:type/:key');
    expect(trie.find('GET', '/state/m.room.name')).toMatchObject({ params: { type: 'm.room.name' } });
    expect(trie.find('GET', '/state/m.room.name/')).toMatchObject({ params: { type: 'm.room.name', key: '' } });
  });

  test('an empty segment in the middle names nothing', () => {
    expect(trieOf('/rooms/:roomId/send').find('GET', '/rooms//send')).toEqual({ kind: 'unknown' });
  });

  test('a literal wins over a parameter, and the parameter is tried when the literal leads nowhere', () => {
    const trie = trieOf('/a/me/x', '/a/:id/y');
    expect(trie.find('GET', '/a/me/x')).toMatchObject({ value: '/a/me/x' });
    expect(trie.find('GET', '/a/me/y')).toMatchObject({ value: '/a/:id/y', params: { id: 'me' } });
  });

  test('a known path with another method is told from an unknown one', () => {
    const trie = trieOf('/a/:id');
    expect(trie.find('PUT', '/a/1')).toEqual({ kind: 'other-method', methods: ['GET'] });
    expect(trie.find('PUT', '/b/1')).toEqual({ kind: 'unknown' });
    expect(trie.find('GET', '/a/1/')).toEqual({ kind: 'unknown' });
  });

  test('a broken percent escape is malformed in a parameter and unknown elsewhere', () => {
    const trie = trieOf('/a/:id');
    expect(trie.find('GET', '/a/%E0%A4')).toEqual({ kind: 'malformed' });
    expect(trie.find('GET', '/%zz/1')).toEqual({ kind: 'unknown' });
  });

  test('two rows for one method and path are refused, whatever their parameters are called', () => {
    const trie = trieOf('/a/:id');
    expect(() => trie.add('GET', '/a/:other', 'x')).toThrow('two routes serve GET /a/:other');
    expect(() => trie.add('PUT', '/a/:other', 'x')).not.toThrow();
  });

  test('v3 paths are served under r0 too, v1 paths are not', () => {
    expect([...pathsOf({ path: '/_matrix/client/v3/sync', aliases: [] })]).toEqual([
      '/_matrix/client/v3/sync',
      '/_matrix/client/r0/sync',
    ]);
    expect([...pathsOf({ path: '/_matrix/client/v1/x', aliases: ['/_matrix/client/unstable/x'] })]).toEqual([
      '/_matrix/client/v1/x',
      '/_matrix/client/unstable/x',
    ]);
  });
});
