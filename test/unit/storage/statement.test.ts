import { expect, test } from '@jest/globals';
import { planOnce } from '../../../src/storage/statement.ts';

test('parameters of queries are hidden from the planner, so that they are planned once', () => {
  expect(planOnce('SELECT a FROM t WHERE b = ? AND c > ? LIMIT ?')).toBe(
    'SELECT a FROM t WHERE b = ifnull(?, NULL) AND c > ifnull(?, NULL) LIMIT ifnull(?, NULL)',
  );
  expect(planOnce('UPDATE t SET a = ? WHERE b = ?')).toBe('UPDATE t SET a = ifnull(?, NULL) WHERE b = ifnull(?, NULL)');
});

test('quoted question marks and statements without conditions stay as they are', () => {
  expect(planOnce("SELECT a FROM t WHERE b = '?' AND c = 'it''s ?' AND d = ?")).toBe(
    "SELECT a FROM t WHERE b = '?' AND c = 'it''s ?' AND d = ifnull(?, NULL)",
  );
  expect(planOnce('INSERT INTO t (a, b) VALUES (?, ?)')).toBe('INSERT INTO t (a, b) VALUES (?, ?)');
});
