/**
 * Rooms that this server is entering: what others send about such a room meanwhile stays staged until the handshake has
 * ended, well or not (INVARIANTS 13).
 */
import type { RoomId } from '../../matrix/ids.ts';

export class Handshakes {
  readonly #underWay = new Map<RoomId, number>();
  readonly #listeners: ((roomId: RoomId) => void)[] = [];

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

  /** Is told when the last handshake of a room has ended. */
  onEnd(listener: (roomId: RoomId) => void): void {
    this.#listeners.push(listener);
  }
}
