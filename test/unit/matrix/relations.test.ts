import { describe, expect, test } from '@jest/globals';
import type { EventId, RoomId, UserId } from '../../../src/matrix/ids.ts';
import type { JsonObject } from '../../../src/matrix/json.ts';
import type { RelatedEvent } from '../../../src/matrix/relations.ts';
import {
  annotationOf,
  isValidEdit,
  latestEdit,
  mayRootThread,
  referenceChunk,
  relationOf,
  summariseThread,
  threadRootOf,
} from '../../../src/matrix/relations.ts';

const id = (name: string): EventId => `$${name}` as EventId;
const alice = '@alice:x' as UserId;
const bob = '@bob:x' as UserId;
const relates = (relType: string, target: string, more: JsonObject = {}): JsonObject => ({
  'm.relates_to': { rel_type: relType, event_id: `$${target}`, ...more },
});
const event = (name: string, content: JsonObject, more: Partial<RelatedEvent> = {}): RelatedEvent => ({
  eventId: id(name),
  roomId: '!r:x' as RoomId,
  sender: alice,
  type: 'm.room.message',
  stateKey: undefined,
  content,
  originServerTs: 10,
  ...more,
});
const original = event('original', { body: 'a' });
const newContent = { 'm.new_content': { body: 'b' } };
const edit = (name: string, more: Partial<RelatedEvent> = {}): RelatedEvent =>
  event(name, { ...newContent, ...relates('m.replace', 'original') }, more);

describe('relations', () => {
  test('a relation needs a type and an event id', () => {
    expect(relationOf(relates('m.thread', 'a'))).toEqual({ relType: 'm.thread', eventId: '$a', key: undefined });
    expect(relationOf(relates('m.annotation', 'a', { key: '👍' }))?.key).toBe('👍');
    for (const broken of [
      {},
      { rel_type: 'm.thread' },
      { rel_type: 1, event_id: '$a' },
      { rel_type: 'a', event_id: 'a' },
      [],
      null,
    ]) {
      expect(relationOf({ 'm.relates_to': broken })).toBeUndefined();
    }
  });

  test('a plain reply is no relation of its own', () => {
    expect(relationOf({ 'm.relates_to': { 'm.in_reply_to': { event_id: '$a' } } })).toBeUndefined();
  });
});

describe('edits', () => {
  test('a valid edit has the room, sender and type of the original, is no state, and brings new content', () => {
    expect(isValidEdit(original, edit('e'))).toBe(true);
  });

  test.each<[string, RelatedEvent, RelatedEvent]>([
    ['another room', original, edit('e', { roomId: '!other:x' as RoomId })],
    ['another sender', original, edit('e', { sender: bob })],
    ['another type', original, edit('e', { type: 'm.sticker' })],
    ['a state event as edit', original, edit('e', { stateKey: '' })],
    ['a state event as original', { ...original, stateKey: '' }, edit('e')],
    ['an edit of an edit', event('original', relates('m.replace', 'first')), edit('e')],
    ['no new content', original, event('e', relates('m.replace', 'original'))],
    ['another target', original, event('e', { ...newContent, ...relates('m.replace', 'other') })],
    ['another relation', original, event('e', { ...newContent, ...relates('m.reference', 'original') })],
  ])('%s makes it invalid', (_, target, replacement) => {
    expect(isValidEdit(target, replacement)).toBe(false);
  });

  test('an encrypted edit has its new content where the server cannot see it', () => {
    const encrypted = { type: 'm.room.encrypted' };
    const replacement = event('e', relates('m.replace', 'original'), encrypted);
    expect(isValidEdit({ ...original, ...encrypted }, replacement)).toBe(true);
  });

  test('the latest is chosen by time, then by the larger event id, among the valid ones', () => {
    const edits = [
      edit('a', { originServerTs: 20 }),
      edit('c', { originServerTs: 20 }),
      edit('b', { originServerTs: 20 }),
      edit('z', { originServerTs: 19 }),
      edit('forged', { originServerTs: 99, sender: bob }),
    ];
    expect(latestEdit(original, edits)?.eventId).toBe('$c');
    expect(latestEdit(original, edits.toReversed())?.eventId).toBe('$c');
    expect(latestEdit(original, [])).toBeUndefined();
  });
});

describe('threads', () => {
  const children = [
    { eventId: id('1'), sender: bob },
    { eventId: id('2'), sender: alice },
    { eventId: id('3'), sender: bob },
  ];
  const carol = '@carol:x' as UserId;

  test('the summary counts children, names the last, and says who took part', () => {
    expect(summariseThread(carol, children, { userId: alice, ignored: new Set() })).toEqual({
      latest: children[2],
      count: 3,
      currentUserParticipated: true,
    });
    expect(summariseThread(carol, children, { userId: carol, ignored: new Set() })?.currentUserParticipated).toBe(true);
    expect(summariseThread(alice, children, { userId: carol, ignored: new Set() })?.currentUserParticipated).toBe(
      false,
    );
  });

  test("ignored users' events are left out", () => {
    expect(summariseThread(carol, children, { userId: carol, ignored: new Set([bob]) })).toMatchObject({
      latest: children[1],
      count: 1,
    });
    expect(summariseThread(carol, children, { userId: carol, ignored: new Set([alice, bob]) })).toBeUndefined();
  });

  test('a thread cannot start at the child of a relation, but can at a reply', () => {
    expect(mayRootThread(relates('m.reference', 'a'))).toBe(false);
    expect(mayRootThread({ 'm.relates_to': { 'm.in_reply_to': { event_id: '$a' } } })).toBe(true);
  });

  test('an event belongs to the thread that it reaches in three hops at most', () => {
    const contents = new Map<string, JsonObject>([
      ['$m', relates('m.thread', 'root')],
      ['$edit', relates('m.replace', 'm')],
      ['$ref', relates('m.reference', 'edit')],
      ['$loop', relates('m.reference', 'loop')],
    ]);
    const rootOf = (content: JsonObject) => threadRootOf(content, (eventId) => contents.get(eventId));
    expect(rootOf(relates('m.thread', 'root'))).toBe('$root');
    expect(rootOf(relates('m.annotation', 'edit', { key: 'x' }))).toBe('$root');
    expect(rootOf(relates('m.annotation', 'ref', { key: 'x' }))).toBeUndefined();
    expect(rootOf(relates('m.reference', 'loop'))).toBeUndefined();
    expect(rootOf({ body: 'main' })).toBeUndefined();
  });
});

describe('references and annotations', () => {
  test('references are a chunk of event ids', () => {
    expect(referenceChunk([id('one'), id('two')])).toEqual({ chunk: [{ event_id: '$one' }, { event_id: '$two' }] });
    expect(referenceChunk([])).toBeUndefined();
  });

  test('an annotation is known by its target, type and key', () => {
    expect(annotationOf('m.reaction', relates('m.annotation', 'a', { key: '👍' }))).toEqual({
      target: '$a',
      type: 'm.reaction',
      key: '👍',
    });
    expect(annotationOf('m.reaction', relates('m.annotation', 'a'))).toBeUndefined();
    expect(annotationOf('m.reaction', relates('m.thread', 'a', { key: '👍' }))).toBeUndefined();
  });
});
