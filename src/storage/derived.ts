/**
 * Derived rows: those of a table that are made from other tables alone (INVARIANTS 7). A module says how to make them;
 * what is stored is compared with that (`neurite verify`) or replaced by it (`neurite verify --repair`), by one definition.
 */
import { sql, type SqlStatement, type SqlValue } from './statement.ts';
import type { Tx } from './transaction.ts';

/** The values of the key columns, then of the others. */
export type DerivedRow = readonly SqlValue[];

/** A row that is not what it should be; undefined: there is none, or there should be none. */
export interface RowDifference {
  readonly stored: DerivedRow | undefined;
  readonly expected: DerivedRow | undefined;
}

export interface DerivedTableOptions {
  readonly table: string;
  /** What a row is, for people. */
  readonly what: string;
  /** Columns that name a row. */
  readonly key: readonly string[];
  /** The other derived columns. */
  readonly values?: readonly string[];
  /** Columns that are facts: what a row that has to be made anew gets. */
  readonly facts?: Readonly<Record<string, number>>;
}

export class DerivedTable {
  readonly what: string;
  readonly #width: number;
  readonly #insert: SqlStatement<DerivedRow, never>;
  readonly #update: SqlStatement<DerivedRow, never> | undefined;
  readonly #delete: SqlStatement<DerivedRow, never>;

  constructor({ table, what, key, values = [], facts = {} }: DerivedTableOptions) {
    this.what = what;
    this.#width = key.length;
    const columns = [...key, ...values];
    const all = [...columns, ...Object.keys(facts)].join(', ');
    const marks = [...columns.map(() => '?'), ...Object.values(facts).map(String)].join(', ');
    const where = key.map((column) => `${column} = ?`).join(' AND ');
    this.#insert = sql(`INSERT OR REPLACE INTO ${table} (${all}) VALUES (${marks})`);
    this.#update =
      values.length === 0
        ? undefined
        : sql(`UPDATE ${table} SET ${values.map((column) => `${column} = ?`).join(', ')} WHERE ${where}`);
    this.#delete = sql(`DELETE FROM ${table} WHERE ${where}`);
  }

  /** Every row in which the two differ. */
  differences(stored: Iterable<DerivedRow>, expected: Iterable<DerivedRow>): RowDifference[] {
    const have = new Map([...stored].map((row) => [textOf(this.#keyOf(row)), row]));
    const differences: RowDifference[] = [];
    for (const row of expected) {
      const name = textOf(this.#keyOf(row));
      const found = have.get(name);
      have.delete(name);
      if (found === undefined || textOf(found) !== textOf(row)) differences.push({ stored: found, expected: row });
    }
    for (const row of have.values()) differences.push({ stored: row, expected: undefined });
    return differences;
  }

  /** A difference as one line; `label` names the row by other means than its key. */
  describe(difference: RowDifference, label: (key: DerivedRow) => string = textOf): string {
    const { stored, expected } = difference;
    const name = `${this.what} ${label(this.#keyOf(stored ?? expected ?? []))}`;
    if (stored === undefined) return `${name}: not stored, should be ${this.#valuesOf(expected)}`;
    if (expected === undefined) return `${name}: stored ${this.#valuesOf(stored)}, should not be there`;
    return `${name}: stored ${this.#valuesOf(stored)}, should be ${this.#valuesOf(expected)}`;
  }

  /** Makes the stored row what it should be. */
  repair(tx: Tx, { stored, expected }: RowDifference): void {
    if (expected === undefined) tx.run(this.#delete, ...this.#keyOf(stored ?? []));
    else if (stored === undefined || this.#update === undefined) tx.run(this.#insert, ...expected);
    else tx.run(this.#update, ...expected.slice(this.#width), ...this.#keyOf(expected));
  }

  #keyOf(row: DerivedRow): DerivedRow {
    return row.slice(0, this.#width);
  }

  #valuesOf(row: DerivedRow | undefined): string {
    const values = row?.slice(this.#width) ?? [];
    return values.length === 0 ? 'there' : textOf(values);
  }
}

const textOf = (row: DerivedRow): string =>
  row
    .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64url') : String(value)))
    .join(' ');
