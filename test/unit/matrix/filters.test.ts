import { describe, expect, test } from '@jest/globals';
import type { EventFilter, Filter, FilteredEvent } from '../../../src/matrix/filters.ts';
import {
  admitsNothing,
  admitsRoom,
  emptyEventFilter,
  emptyFilter,
  matchesEvent,
  needsRelations,
  parseEventFilter,
  parseFilter,
  selectFields,
} from '../../../src/matrix/filters.ts';
import { parsePath } from '../../../src/matrix/property-path.ts';

const filter = (json: unknown): Filter => {
  const parsed = parseFilter(json);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const eventFilter = (json: unknown): EventFilter => {
  const parsed = parseEventFilter(json);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const message: FilteredEvent = { type: 'm.room.message', sender: '@a:x', roomId: '!r:x', content: { body: 'hi' } };

describe('parsing', () => {
  test('a filter without keys lets everything pass', () => {
    expect(filter({ unknown: 1 })).toEqual({
      ...emptyFilter,
      presence: { ...emptyEventFilter, admitsType: expect.any(Function) },
      accountData: { ...emptyEventFilter, admitsType: expect.any(Function) },
      room: expect.anything(),
    });
    expect(matchesEvent(emptyEventFilter, message)).toBe(true);
  });

  test('every part of a filter is read', () => {
    const parsed = filter({
      event_fields: ['content.m\\.relates_to'],
      event_format: 'federation',
      presence: { types: [] },
      account_data: { not_types: ['*'] },
      room: {
        rooms: ['!a:x'],
        not_rooms: ['!b:x'],
        include_leave: true,
        timeline: { limit: 5, unread_thread_notifications: true },
        state: { lazy_load_members: true, include_redundant_members: true },
        ephemeral: { not_rooms: ['!c:x'] },
        account_data: { not_senders: ['@a:x'] },
      },
    });
    expect(parsed).toMatchObject({
      eventFields: [['content', 'm.relates_to']],
      eventFormat: 'federation',
      room: {
        includeLeave: true,
        timeline: { limit: 5, unreadThreadNotifications: true },
        state: { lazyLoadMembers: true, includeRedundantMembers: true },
      },
    });
    expect(['!a:x', '!b:x', '!c:x'].map((room) => admitsRoom(parsed.room, room))).toEqual([true, false, false]);
    expect(admitsNothing(parsed.presence)).toBe(true);
    expect(matchesEvent(parsed.accountData, { type: 'm.direct' })).toBe(false);
  });

  test.each([
    [[], 'the filter must be an object'],
    [{ room: [] }, 'room must be an object'],
    [{ room: { timeline: { limit: 1.5 } } }, 'room.timeline.limit must be an integer greater than 0'],
    [{ room: { timeline: { limit: -1 } } }, 'room.timeline.limit must be an integer greater than 0'],
    [{ room: { state: { types: 'm.room.member' } } }, 'room.state.types must be a list of strings'],
    [{ presence: { senders: ['alice'] } }, 'presence.senders must be a list of ids that start with @'],
    [{ room: { rooms: ['#a:x'] } }, 'room.rooms must be a list of ids that start with !'],
    [{ event_format: 'xml' }, 'event_format must be client or federation'],
    [{ room: { include_leave: 'yes' } }, 'room.include_leave must be a boolean'],
    [{ event_fields: [1] }, 'event_fields must be a list of strings'],
  ])('%j is refused: %s', (json, fault) => {
    expect(parseFilter(json)).toEqual({ ok: false, error: fault });
  });
});

describe('matching', () => {
  const matches = (json: unknown, event: FilteredEvent = message): boolean => matchesEvent(eventFilter(json), event);

  test('types may have stars anywhere, and not_types wins', () => {
    expect(matches({ types: ['m.room.*'] })).toBe(true);
    expect(matches({ types: ['*.message'] })).toBe(true);
    expect(matches({ types: ['m.*.mess*e'] })).toBe(true);
    expect(matches({ types: ['m.room.messag?'] })).toBe(false);
    expect(matches({ types: ['m.room.*?'] }, { type: 'm.room.what?' })).toBe(true);
    expect(matches({ types: ['m.room.message'], not_types: ['m.room.*'] })).toBe(false);
    expect(matches({ types: [] })).toBe(false);
  });

  test('senders and rooms, and their not_ lists win', () => {
    expect(matches({ senders: ['@a:x'] })).toBe(true);
    expect(matches({ senders: ['@b:x'] })).toBe(false);
    expect(matches({ senders: ['@a:x'], not_senders: ['@a:x'] })).toBe(false);
    expect(matches({ rooms: ['!r:x'] })).toBe(true);
    expect(matches({ rooms: [] })).toBe(false);
    expect(matches({ rooms: ['!r:x'], not_rooms: ['!r:x'] })).toBe(false);
  });

  test('contains_url asks for a url in the content, or for none', () => {
    const image = { ...message, content: { url: 'mxc://x/y' } };
    expect([matches({ contains_url: true }), matches({ contains_url: true }, image)]).toEqual([false, true]);
    expect([matches({ contains_url: false }), matches({ contains_url: false }, image)]).toEqual([true, false]);
  });

  test('related_by asks for an event that relates in both ways at once', () => {
    const related = eventFilter({ related_by_senders: ['@b:x'], related_by_rel_types: ['m.thread'] });
    expect([needsRelations(related), needsRelations(emptyEventFilter)]).toEqual([true, false]);
    expect(matchesEvent(related, message, [{ sender: '@b:x', relType: 'm.thread' }])).toBe(true);
    expect(
      matchesEvent(related, message, [
        { sender: '@b:x', relType: 'm.replace' },
        { sender: '@c:x', relType: 'm.thread' },
      ]),
    ).toBe(false);
    expect(matchesEvent(related, message)).toBe(false);
  });
});

describe('event_fields', () => {
  const event = {
    type: 'm.room.message',
    content: { body: 'hi', 'm.relates_to': { rel_type: 'm.thread', event_id: '$e' }, info: { w: 1 } },
    sender: '@a:x',
  };
  const select = (...paths: string[]) => selectFields(event, paths.map(parsePath));

  test('only the named properties stay, names with dots escaped', () => {
    expect(select('type', 'content.body')).toEqual({ type: 'm.room.message', content: { body: 'hi' } });
    expect(select('content.m\\.relates_to.rel_type')).toEqual({
      content: { 'm.relates_to': { rel_type: 'm.thread' } },
    });
    expect(select('content.m.relates_to', 'nothing', 'sender.x')).toEqual({});
  });

  test('a whole object and a part of it may both be named, in any order, and the event is untouched', () => {
    const before = structuredClone(event);
    expect(select('content', 'content.body')).toEqual({ content: event.content });
    expect(select('content.info', 'content.info.w', 'content.body')).toEqual({
      content: { info: { w: 1 }, body: 'hi' },
    });
    expect(select('content.body', 'content')).toEqual({ content: event.content });
    expect(event).toEqual(before);
  });
});
