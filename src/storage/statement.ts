/**
 * SQL statements as typed constants. A statement is prepared once per connection and looked up by identity, so a
 * module writes `const selectX = sql<[roomNid: number], { nid: number }>('SELECT …')` at its top and hands it to a
 * snapshot or a transaction.
 */
export type SqlValue = number | string | bigint | Uint8Array | null;

export interface SqlStatement<P extends readonly SqlValue[], R> {
  readonly text: string;
  /** Phantom: the parameter and row types. */
  readonly types?: { params: P; row: R };
}

/** A statement with positional parameters P and rows of shape R (omit R for writes). */
export const sql = <P extends readonly SqlValue[], R = never>(text: string): SqlStatement<P, R> => ({ text });

/** A parameter, or a quoted text, whose question marks are none. */
const parameterOrQuoted = /\?|'(?:[^']|'')*'/g;

/**
 * The text to prepare. SQLite plans a query anew for every value bound to a bare parameter that its planner has looked at
 * (a range, a limit, anything in a join), which takes ten times as long as running it. A parameter inside an
 * expression hides its value and keeps the plan.
 */
export const planOnce = (text: string): string =>
  /\b(?:WHERE|LIMIT)\b/i.test(text)
    ? text.replace(parameterOrQuoted, (token) => (token === '?' ? 'ifnull(?, NULL)' : token))
    : text;
