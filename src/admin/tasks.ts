/**
 * Long work that administrators begin: each task is a row with what is to be done and how far it is, taken up again
 * after a restart. Tasks of one room run one after the other. Owns `admin_tasks`.
 */
import type { JsonObject } from '../matrix/json.ts';
import { sql, type Database, type Snapshot, type Tx } from '../storage/index.ts';
import { newOpaqueId } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { messageOf } from '../util/error-text.ts';
import { KeyedQueue } from '../util/keyed-queue.ts';
import type { Logger } from '../util/log.ts';

export type TaskKind = 'delete_room' | 'purge_history' | 'redact_user';
export type TaskStatus = 'scheduled' | 'active' | 'complete' | 'failed';

export interface AdminTask {
  readonly id: string;
  readonly kind: TaskKind;
  readonly roomId: string;
  /** User id of the administrator. */
  readonly admin: string;
  readonly status: TaskStatus;
  readonly request: JsonObject;
  /** What has been done so far. */
  readonly result: JsonObject | undefined;
  readonly error: string | undefined;
}

/** One run of a task. It may have been begun before: `task.result` is what an earlier run kept. */
export interface TaskRun {
  readonly task: AdminTask;
  /** Aborted when the server stops; the task goes on after the next start. */
  readonly signal: AbortSignal;
  /** Keeps what has been done, in the transaction that did it. */
  readonly keep: (tx: Tx, result: JsonObject) => void;
}

export type Runner = (run: TaskRun) => Promise<void>;

interface Row {
  id: string;
  kind: TaskKind;
  room_id: string;
  admin: string;
  status: TaskStatus;
  request: string;
  result: string | null;
  error: string | null;
}

const columns = 'id, kind, room_id, admin, status, request, result, error';
const insertTask = sql<[id: string, kind: string, room: string, admin: string, request: string, now: number]>(
  `INSERT INTO admin_tasks (id, kind, room_id, admin, status, request, changed_at)
   VALUES (?, ?, ?, ?, 'scheduled', ?, ?)`,
);
const selectTask = sql<[id: string], Row>(`SELECT ${columns} FROM admin_tasks WHERE id = ?`);
const selectTasksOfRoom = sql<[room: string, kind: string], Row>(
  `SELECT ${columns} FROM admin_tasks WHERE room_id = ? AND kind = ? ORDER BY changed_at, id`,
);
const selectUnfinished = sql<[], Row>(
  `SELECT ${columns} FROM admin_tasks WHERE status IN ('scheduled', 'active') ORDER BY changed_at, id`,
);
const updateStatus = sql<[status: string, error: string | null, now: number, id: string]>(
  'UPDATE admin_tasks SET status = ?, error = ?, changed_at = ? WHERE id = ?',
);
const updateResult = sql<[result: string, id: string]>('UPDATE admin_tasks SET result = ? WHERE id = ?');
const deleteFinished = sql<[before: number]>(
  `DELETE FROM admin_tasks WHERE status IN ('complete', 'failed') AND changed_at < ?`,
);

/** How long one may ask how a task ended, in ms. */
const keptMs = 24 * 3_600_000;

export class AdminTasks {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #runners: Readonly<Record<TaskKind, Runner>>;
  readonly #lanes = new KeyedQueue<string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(db: Database, clock: Clock, log: Logger, runners: Readonly<Record<TaskKind, Runner>>) {
    this.#db = db;
    this.#clock = clock;
    this.#log = log;
    this.#runners = runners;
  }

  /** Notes a task and begins it; resolves with its id when it is noted. */
  async start(kind: TaskKind, roomId: string, admin: string, request: JsonObject): Promise<string> {
    const id = newOpaqueId();
    await this.#db.write(
      (tx) => void tx.run(insertTask, id, kind, roomId, admin, JSON.stringify(request), this.#clock.now()),
    );
    this.#begin(id, roomId);
    return id;
  }

  get(snapshot: Snapshot, id: string): AdminTask | undefined {
    const row = snapshot.get(selectTask, id);
    return row === undefined ? undefined : taskOf(row);
  }

  ofRoom(snapshot: Snapshot, roomId: string, kind: TaskKind): AdminTask[] {
    return snapshot.all(selectTasksOfRoom, roomId, kind).map(taskOf);
  }

  /** Resolves when a task has ended, or the server stops. */
  async ended(id: string): Promise<void> {
    await this.#running.get(id);
  }

  /** Takes up what an earlier process left undone, and forgets what ended long ago. */
  async resume(): Promise<void> {
    const before = this.#clock.now() - keptMs;
    await this.#db.write((tx) => void tx.run(deleteFinished, before));
    for (const { id, room_id: roomId } of this.#db.read((snapshot) => snapshot.all(selectUnfinished))) {
      this.#begin(id, roomId);
    }
  }

  /** Ends what runs at its next step. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running.values());
  }

  #begin(id: string, roomId: string): void {
    if (this.#running.has(id)) return;
    const work = this.#lanes.run(roomId, () => this.#run(id)).finally(() => this.#running.delete(id));
    this.#running.set(id, work);
  }

  async #run(id: string): Promise<void> {
    const { signal } = this.#stop;
    const task = this.#db.read((snapshot) => this.get(snapshot, id));
    if (task === undefined || signal.aborted) return;
    try {
      await this.#db.write((tx) => this.#set(tx, id, 'active'));
      const keep = (tx: Tx, result: JsonObject): void => void tx.run(updateResult, JSON.stringify(result), id);
      await this.#runners[task.kind]({ task, signal, keep });
      if (!signal.aborted) await this.#db.write((tx) => this.#set(tx, id, 'complete'));
    } catch (error) {
      this.#log.warn({ task: task.kind, id, room: task.roomId, err: error }, 'what an administrator began has failed');
      const message = messageOf(error);
      await this.#db.write((tx) => this.#set(tx, id, 'failed', message)).catch(() => undefined);
    }
  }

  #set(tx: Tx, id: string, status: TaskStatus, error: string | null = null): void {
    tx.run(updateStatus, status, error, this.#clock.now(), id);
  }
}

const taskOf = (row: Row): AdminTask => ({
  id: row.id,
  kind: row.kind,
  roomId: row.room_id,
  admin: row.admin,
  status: row.status,
  request: JSON.parse(row.request) as JsonObject,
  result: row.result === null ? undefined : (JSON.parse(row.result) as JsonObject),
  error: row.error ?? undefined,
});
