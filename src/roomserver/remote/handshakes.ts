/**
 * Rooms that this server is entering: what others send about such a room meanwhile stays staged until the handshake has
 * ended, well or not (INVARIANTS 13).
 */
import type { RoomId, ServerName } from '../../matrix/ids.ts';

export class Handshakes {
  readonly #underWay = new Map<RoomId, number>();
  readonly #listeners: ((roomId: RoomId) => void)[] = [];
  #deliver: ((server: ServerName) => Promise<void>) | undefined;

  /** Begins one; the returned function ends it (a second call does nothing). Several of one room may run at a time. */
  begin(roomId: RoomId): () => void {
    this.#underWay.set(roomId, (this.#underWay.get(roomId) ?? 0) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const left = (this.#underWay.get(roomId) ?? 1) - 1;
      if (left > 0) {
        this.#underWay.set(roomId, left);
        return;
      }
      this.#underWay.delete(roomId);
      for (const listener of this.#listeners) listener(roomId);
    };
  }

  /** Rooms that are being entered now. */
  get size(): number {
    return this.#underWay.size;
  }

  isUnderWay(roomId: string): boolean {
    return this.#underWay.has(roomId as RoomId);
  }

  /** Says how what waits for a server is brought to it: by somebody above, who sends. */
  deliverBy(deliver: (server: ServerName) => Promise<void>): void {
    this.#deliver = deliver;
  }

  /**
   * What was to be told to this server has been, or it takes too long. A leave that is on its way still would reach the
   * room after the join that follows it.
   */
  async delivered(server: ServerName): Promise<void> {
    await this.#deliver?.(server);
  }

  /** Is told when the last handshake of a room has ended. */
  onEnd(listener: (roomId: RoomId) => void): void {
    this.#listeners.push(listener);
  }
}
