import { describe, expect, test } from '@jest/globals';
import { createLogger } from '../../../src/util/log.ts';

const linesOf = (format: 'text' | 'json', use: (log: ReturnType<typeof createLogger>) => void): string[] => {
  const lines: string[] = [];
  use(createLogger({ level: 'debug', format, write: (line) => lines.push(line) }));
  return lines;
};

describe('the log', () => {
  test('holds no tokens, passwords or message bodies', () => {
    const secrets = {
      access_token: 's3cret',
      login: { password: 's3cret', user: 'alice' },
      event: { content: { body: 's3cret' } },
      headers: { authorization: 's3cret' },
    };
    for (const format of ['text', 'json'] as const) {
      const [line = ''] = linesOf(format, (log) => log.info(secrets, 'hello'));
      expect(line).not.toContain('s3cret');
      expect(line).toContain('alice');
    }
  });

  test('loses tokens from the messages of errors, and their other properties', () => {
    const error = Object.assign(new Error('GET /sync?access_token=s3cret&x=1 failed'), { sent: 's3cret', code: 'E1' });
    for (const format of ['text', 'json'] as const) {
      const [line = ''] = linesOf(format, (log) => log.error({ err: error }, 'no'));
      expect(line).not.toContain('s3cret');
      expect(line).toContain('/sync?access_token=[hidden]&x=1 failed');
    }
  });

  test('is short lines for people, with the module in front', () => {
    const [line = ''] = linesOf('text', (log) =>
      log.child({ module: 'http' }).warn({ port: 1, why: 'x' }, 'listening'),
    );
    expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN {2}http: listening port=1 why=x\n$/);
  });
});
