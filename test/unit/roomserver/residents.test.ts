import { expect, test } from '@jest/globals';
import { clientErrorOf, refusalOf } from '../../../src/roomserver/remote/residents.ts';

const fault = (status: number, errcode: string, retryAfterMs?: number) =>
  ({ kind: 'http', message: '', status, errcode, body: { errcode, error: 'no' }, retryAfterMs }) as const;

test('a server that wants us to ask later lets the client wait as long', () => {
  expect(clientErrorOf(fault(429, 'M_LIMIT_EXCEEDED', 7000))).toMatchObject({
    status: 429,
    errcode: 'M_LIMIT_EXCEEDED',
    extra: { retry_after_ms: 7000 },
  });
  expect(clientErrorOf(fault(429, 'M_UNKNOWN'))).toMatchObject({ status: 429, errcode: 'M_LIMIT_EXCEEDED' });
});

test('of several answers the refusal tells more than one that asks to wait', () => {
  const told = refusalOf([fault(429, 'M_LIMIT_EXCEEDED'), fault(403, 'M_FORBIDDEN'), fault(404, 'M_NOT_FOUND')]);
  expect(told).toMatchObject({ status: 403, errcode: 'M_FORBIDDEN' });
});
