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
