import { expect, test } from '@jest/globals';
import { MatrixError, matrixError } from '../../src/matrix/errors.ts';

test('An error carries status, code and message, and its body has both members that clients rely on', () => {
  const error = matrixError.forbidden('You may not');
  expect(error).toBeInstanceOf(MatrixError);
  expect(error.status).toBe(403);
  expect(JSON.parse(JSON.stringify(error))).toEqual({ errcode: 'M_FORBIDDEN', error: 'You may not' });
  expect(matrixError.notFound().message).toBe('Not found');
});

test('Extra members can not overwrite code and message', () => {
  expect(matrixError.badJson('x', { errcode: 'M_OTHER', detail: 1 }).toJSON()).toEqual({
    errcode: 'M_BAD_JSON',
    error: 'x',
    detail: 1,
  });
});

test('Errors that the specification gives more members have them', () => {
  expect(matrixError.limitExceeded(1500.2).toJSON()).toMatchObject({
    errcode: 'M_LIMIT_EXCEEDED',
    retry_after_ms: 1501,
  });
  expect(matrixError.unknownToken({ softLogout: true }).toJSON()).toMatchObject({ soft_logout: true });
  expect(matrixError.unknownToken().status).toBe(401);
  expect(matrixError.userLocked().toJSON()).toMatchObject({ errcode: 'M_USER_LOCKED', soft_logout: true });
  expect(matrixError.incompatibleRoomVersion({ room_version: '9' }).toJSON()).toMatchObject({ room_version: '9' });
  expect(matrixError.wrongRoomKeysVersion({ current_version: '4' }).toJSON()).toMatchObject({ current_version: '4' });
  expect(matrixError.methodNotAllowed().status).toBe(405);
});

test('Each name is its code in camel case', () => {
  for (const [name, make] of Object.entries(matrixError)) {
    if (name === 'methodNotAllowed') continue;
    const code = (make as (arg: never) => MatrixError)({} as never).errcode;
    expect(code).toBe(`M_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`);
  }
});
