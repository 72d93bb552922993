/**
 * Texts by the hundred thousand, as answers with the state of a big room bring them: kept compressed in blocks outside of
 * the heap, so that they take a fraction of their size for as long as it takes to work through them.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';

/** Characters of one block: compressing it takes a few ms. */
const blockLength = 256 * 1024;
/** Stands in no JSON text. */
const border = '\u0000';

export class TextList implements Iterable<string> {
  readonly #blocks: Uint8Array[] = [];
  #last: string[] = [];
  #lastLength = 0;
  #length = 0;

  static of(texts: Iterable<string>): TextList {
    const list = new TextList();
    for (const text of texts) list.push(text);
    return list;
  }

  get length(): number {
    return this.#length;
  }

  push(text: string): void {
    this.#length += 1;
    this.#last.push(text);
    this.#lastLength += text.length;
    if (this.#lastLength < blockLength) return;
    this.#blocks.push(deflateRawSync(Buffer.from(this.#last.join(border)), { level: 1 }));
    this.#last = [];
    this.#lastLength = 0;
  }

  *[Symbol.iterator](): Generator<string> {
    for (const block of this.#blocks) yield* inflateRawSync(block).toString().split(border);
    yield* this.#last;
  }
}
