/**
 * Users whose devices a server is told of because they have come to share a room with it (S-S API v1.19 §Device
 * Management), though nothing can be encrypted for any of them yet. Most have keys a moment later: then the server is told
 * of that at once, and else after a pause. What waits is on disk, and goes out at once after a restart.
 */
import type { ServerName, UserId } from '../../matrix/ids.ts';
import type { Clock } from '../../util/clock.ts';

/** ms */
const pauseMs = 5000;

interface Held {
  readonly until: number;
  /** Rows of this user that wait for the server. */
  readonly rows: number;
}

export class Introductions {
  readonly #clock: Clock;
  readonly #wake: (servers: readonly ServerName[]) => void;
  readonly #stop = new AbortController();
  readonly #held = new Map<ServerName, Map<string, Held>>();

  constructor(clock: Clock, wake: (servers: readonly ServerName[]) => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Keeps a server waiting for news of a user; to no effect when the unit that wrote them fails. */
  hold(server: ServerName, user: UserId, rows: number): void {
    if (this.#stop.signal.aborted) return;
    const until = this.#clock.now() + pauseMs;
    const users = this.#held.get(server) ?? new Map<string, Held>();
    this.#held.set(server, users.set(user, { until, rows }));
    void this.#clock.sleep(pauseMs, this.#stop.signal).then(() => {
      const held = users.get(user);
      if (held === undefined || held.until > this.#clock.now() || this.#stop.signal.aborted) return;
      this.release(server, user);
      this.#wake([server]);
    });
  }

  /** There is real news of the user: all that waits goes along, in order. */
  release(server: ServerName, user: UserId): void {
    const users = this.#held.get(server);
    users?.delete(user);
    if (users?.size === 0) this.#held.delete(server);
  }

  isHeld(server: ServerName, user: string): boolean {
    return this.#held.get(server)?.has(user) === true;
  }

  /** Rows of a server that are not to be sent now. */
  count(server: ServerName): number {
    return [...(this.#held.get(server)?.values() ?? [])].reduce((sum, { rows }) => sum + rows, 0);
  }

  close(): void {
    this.#stop.abort();
  }
}
