/**
 * Where reads come from. Between two writes all of them see the same, so they share the writer's own connection, whose
 * page cache holds what was just written: any other connection drops its cache at each commit and fetches every page
 * anew. Right before the next write, whoever still reads goes on from a connection of its own that sees the same.
 */
import { Connection, type Snapshot } from './connection.ts';
import { sql, type SqlStatement, type SqlValue } from './statement.ts';

const begin = sql('BEGIN');
const end = sql('COMMIT');
const anything = sql<[], { n: number }>('SELECT 1 AS n FROM sqlite_schema LIMIT 1');
/** Connections that are kept for who reads on. */
const mostIdle = 3;

/** What was committed at one moment, for all who began to read then. */
class Moment implements Snapshot {
  readers = 0;
  /** An error: why there is none to read on from. */
  source: Connection | Error;

  constructor(source: Connection) {
    this.source = source;
  }

  get connection(): Connection {
    if (this.source instanceof Error) throw this.source;
    return this.source;
  }

  get<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R | undefined {
    return this.connection.get(statement, ...params);
  }

  all<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R[] {
    return this.connection.all(statement, ...params);
  }

  iterate<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): IterableIterator<R> {
    return this.connection.iterate(statement, ...params);
  }
}

export class Readers {
  readonly #path: string;
  readonly #writer: Connection;
  readonly #idle: Connection[] = [];
  /** What the writer's connection shows; undefined: no read transaction is open on it. */
  #moment: Moment | undefined;
  #turnEnds = false;
  #writing = false;
  #closed = false;

  constructor(path: string, writer: Connection) {
    this.#path = path;
    this.#writer = writer;
  }

  /** Reads within this turn, from the last commit. */
  read<T>(work: (snapshot: Snapshot) => T): T {
    if (this.#writing) return this.#readBeside(work);
    this.#now();
    return work(this.#writer);
  }

  /** Reads over several turns what is committed now. */
  async snapshot<T>(work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
    const moment = this.#writing ? new Moment(this.#openBeside()) : this.#now();
    moment.readers += 1;
    try {
      return await work(moment);
    } finally {
      moment.readers -= 1;
      if (moment.readers === 0) this.#left(moment);
    }
  }

  /** To be called right before a write: from now on reads do without the writer's connection. */
  writeBegins(): void {
    this.#release();
    this.#writing = true;
  }

  /** The write is committed or undone. */
  writeEnded(): void {
    this.#writing = false;
  }

  /** Ends what can be ended; who still reads goes on. */
  close(): void {
    this.#release();
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  /** One transaction serves a whole turn: each would take and give back the WAL's locks, which costs more than a look-up. */
  #now(): Moment {
    if (this.#moment !== undefined) return this.#moment;
    this.#writer.run(begin);
    this.#moment = new Moment(this.#writer);
    this.#turnEnds = true;
    setImmediate(() => {
      this.#turnEnds = false;
      if (this.#moment?.readers === 0) this.#release();
    });
    return this.#moment;
  }

  #left(moment: Moment): void {
    if (moment === this.#moment) {
      if (!this.#turnEnds) this.#release();
    } else if (moment.source instanceof Connection) this.#giveBack(moment.source);
  }

  /** Ends the read transaction on the writer's connection. */
  #release(): void {
    const moment = this.#moment;
    if (moment === undefined) return;
    // Nothing was written since: the other connection sees the same.
    if (moment.readers > 0) moment.source = this.#sourceBeside();
    this.#moment = undefined;
    this.#writer.run(end);
  }

  #readBeside<T>(work: (snapshot: Snapshot) => T): T {
    const connection = this.#openBeside();
    try {
      return work(connection);
    } finally {
      this.#giveBack(connection);
    }
  }

  /** Reads may fail where writes go on. */
  #sourceBeside(): Connection | Error {
    try {
      return this.#openBeside();
    } catch (error) {
      return new Error('no connection could be opened to read on from', { cause: error });
    }
  }

  #openBeside(): Connection {
    const connection = this.#idle.pop() ?? new Connection(this.#path, { readonly: true });
    connection.run(begin);
    // The first read fixes what is seen.
    connection.get(anything);
    return connection;
  }

  #giveBack(connection: Connection): void {
    connection.run(end);
    if (this.#closed || this.#idle.length >= mostIdle) connection.close();
    else this.#idle.push(connection);
  }
}
