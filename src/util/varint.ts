/**
 * Packed lists of integers: little-endian base-128 varints, and zigzag differences for lists whose neighbours are near
 * each other. Values are safe integers; nothing here checks damaged input beyond its end.
 */
export class VarintWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** @param value an integer from 0 up */
  unsigned(value: number): void {
    if (this.#length + 8 > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2 + 8);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  signed(value: number): void {
    this.unsigned(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

export class VarintReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  unsigned(): number {
    let byte = this.#bytes[this.#offset++] ?? 0;
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let scale = 128;
    do {
      byte = this.#bytes[this.#offset++] ?? 0;
      value += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte >= 0x80);
    return value;
  }

  signed(): number {
    const value = this.unsigned();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }
}

/** A list as differences from one number to the next, the first from 0; keeps any order. */
export function packList(values: readonly number[]): Uint8Array {
  const writer = new VarintWriter(values.length * 4 + 8);
  let last = 0;
  for (const value of values) {
    writer.signed(value - last);
    last = value;
  }
  return writer.finish();
}

/** The list that `packList` packed. */
export function unpackList(bytes: Uint8Array): number[] {
  const reader = new VarintReader(bytes);
  const values: number[] = [];
  let last = 0;
  while (!reader.done) values.push((last += reader.signed()));
  return values;
}
