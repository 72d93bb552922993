/** What was thrown, for logs, for people and to tell faults apart; it need not be an `Error`. */

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The code that the system or a library gives its errors: `ENOENT`, `SQLITE_FULL`, `UND_ERR_SOCKET` … */
export const codeOf = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
