/**
 * The Position sequence: one integer numbers every output entry of every kind. Blocks are reserved on disk ahead of
 * use, so that a Position is never given out twice, also after SIGKILL and for kinds that are never stored.
 */
declare const positionBrand: unique symbol;
/** A place in the one output sequence. 0 means "before everything". */
export type Position = number & { readonly [positionBrand]: true };

/** Reads a Position from a trusted number (a row, a checked token). */
export const asPosition = (value: number): Position => value as Position;

/** How many Positions one reservation covers. */
export const reservationSize = 65_536;

export class Sequence {
  #last: number;
  /** In force within the transaction that is open, or committed. */
  #reserved: number;
  /** Known to be on disk. */
  #durable: number;

  /** @param reserved the bound found on disk: everything up to it may have been given out before. */
  constructor(reserved: number) {
    // 0 means "before everything": the head of a new database must not read as that in a token.
    this.#last = Math.max(reserved, 1);
    this.#reserved = reserved;
    this.#durable = reserved;
  }

  /** The highest Position given out. */
  get last(): Position {
    return asPosition(this.#last);
  }

  /** True when a new reservation should be written soon. */
  get low(): boolean {
    return this.#reserved - this.#last < reservationSize / 2;
  }

  /** True when `next` would pass the reservation. */
  get exhausted(): boolean {
    return this.#last >= this.#reserved;
  }

  /** The bound that the next reservation should put on disk. */
  get nextReservation(): number {
    return this.#last + reservationSize;
  }

  /** Takes note that `bound` stands on disk (or will, in the transaction that takes the Positions). */
  reserve(bound: number): void {
    this.#reserved = Math.max(this.#reserved, bound);
  }

  /** The bound in force. */
  get reservedBound(): number {
    return this.#reserved;
  }

  /** Takes back reservations whose transaction failed: what is beyond the bound must not be given out. */
  restore(bound: number): void {
    this.#reserved = bound;
  }

  /** Takes note that `bound` has reached the disk. */
  settle(bound: number): void {
    this.#durable = Math.max(this.#durable, bound);
  }

  /** True when Positions beyond the bound on disk were given out: nobody may see them until it is settled. */
  get unsettled(): boolean {
    return this.#last > this.#durable;
  }

  /** A Position for the transaction that is open; those beyond the bound on disk become visible after it only. */
  next(): Position {
    if (this.exhausted) throw new Error('the Position reservation is used up');
    this.#last += 1;
    return asPosition(this.#last);
  }

  /** A Position that is visible at once. @throws Error when the disk has taken no reservation for long */
  nextVisible(): Position {
    if (this.#last >= this.#durable) throw new Error('no Position is left: the disk takes no reservation');
    return this.next();
  }
}
