import { describe, expect, test } from '@jest/globals';
import {
  type HistoryVisibility,
  historyVisibilityIn,
  mayServerView,
  mayView,
} from '../../src/matrix/history-visibility.ts';

const none = { joinedLater: false, afterLastLeave: false };
const at = (visibility: HistoryVisibility, membership?: string) => ({ visibility, membership });

describe('history visibility of ordinary events', () => {
  const cases: [HistoryVisibility, membership: string | undefined, joinedLater: boolean, visible: boolean][] = [
    ['world_readable', undefined, false, true],
    ['world_readable', 'ban', false, true],
    ['shared', undefined, false, false],
    ['shared', undefined, true, true],
    ['shared', 'invite', false, false],
    ['shared', 'invite', true, true],
    ['shared', 'join', false, true],
    ['shared', 'ban', true, true],
    ['invited', undefined, true, false],
    ['invited', 'invite', false, true],
    ['invited', 'join', false, true],
    ['invited', 'leave', true, false],
    ['joined', 'invite', true, false],
    ['joined', 'join', false, true],
    ['joined', 'leave', true, false],
  ];
  test.each(cases)('%s, membership %s, joined later %s: visible %s', (visibility, membership, joinedLater, visible) => {
    const state = at(visibility, membership);
    expect(mayView({ before: state, after: state, joinedLater, afterLastLeave: false })).toBe(visible);
  });
});

describe('events seen by the laxer of two states', () => {
  test('a change from joined to world_readable, or back, is visible to everyone', () => {
    expect(mayView({ ...none, before: at('joined'), after: at('world_readable') })).toBe(true);
    expect(mayView({ ...none, before: at('world_readable'), after: at('joined') })).toBe(true);
  });

  test('the own join and the own leave are visible under joined', () => {
    expect(mayView({ ...none, before: at('joined', 'leave'), after: at('joined', 'join') })).toBe(true);
    expect(mayView({ ...none, before: at('joined', 'join'), after: at('joined', 'leave') })).toBe(true);
  });
});

describe('who has left', () => {
  test('sees nothing behind the last leave, even where a branch says joined', () => {
    const state = at('shared', 'join');
    expect(mayView({ before: state, after: state, joinedLater: true, afterLastLeave: true })).toBe(false);
  });

  test('sees world-readable events all the same', () => {
    const state = at('world_readable', 'leave');
    expect(mayView({ before: state, after: state, joinedLater: false, afterLastLeave: true })).toBe(true);
  });
});

describe('servers', () => {
  const view = (visibility: HistoryVisibility, memberships: (string | undefined)[], joinedLater = false): boolean =>
    mayServerView({ before: visibility, after: visibility, memberships, joinedLater });

  test('see what one of their users may see', () => {
    expect(view('joined', ['leave', 'join', 'invite'])).toBe(true);
    expect(view('joined', ['leave', 'invite'])).toBe(false);
    expect(view('invited', [undefined, 'invite', 'leave'])).toBe(true);
    expect(view('shared', [], true)).toBe(true);
    expect(view('shared', [])).toBe(false);
    expect(view('world_readable', [])).toBe(true);
  });
});

describe('the content', () => {
  test('sets one of four values, and shared when absent or not understood', () => {
    expect(historyVisibilityIn({ history_visibility: 'invited' })).toBe('invited');
    expect(historyVisibilityIn({ history_visibility: 'secret' })).toBe('shared');
    expect(historyVisibilityIn({ history_visibility: 5 })).toBe('shared');
    expect(historyVisibilityIn(undefined)).toBe('shared');
  });
});
