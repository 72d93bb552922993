/**
 * Takes a JSON object apart while it arrives: the elements of the lists that the caller names come out as raw text one by
 * one (events, of which there may be a hundred thousand), all other members as one small object's text. What an element
 * holds is not looked at here: whoever takes it parses it. So a big answer is never parsed as a whole and never exists
 * twice in memory.
 */

/** The text is no JSON object, or exceeds a bound. */
export class SplitError extends Error {
  override readonly name = 'SplitError';
}

export interface SplitLimits {
  /** Bytes of one element. */
  readonly element: number;
  /** Elements of all lists together. */
  readonly elements: number;
  /** Bytes of all other members together. */
  readonly rest: number;
}

export const defaultSplitLimits: SplitLimits = { element: 1024 * 1024, elements: 500_000, rest: 32 * 1024 * 1024 };

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const isOpen = (byte: number): boolean => byte === 0x7b || byte === 0x5b;
const isClose = (byte: number): boolean => byte === 0x7d || byte === 0x5d;
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** Before `{`, at a key, after its colon, in a member's value, in a named list, after one, after the closing brace. */
type Place = 'start' | 'key' | 'colon' | 'value' | 'list' | 'listed' | 'end';

/** What takes the elements of a list. */
export interface TextSink {
  readonly length: number;
  push(text: string): unknown;
}

export class ObjectSplitter<L extends TextSink> {
  readonly #lists: ReadonlyMap<string, L>;
  readonly #present = new Set<string>();
  readonly #limits: SplitLimits;
  #place: Place = 'start';
  /** Open brackets; 1 inside the object, 2 inside a list that is taken apart. */
  #depth = 0;
  #inString = false;
  #escaped = false;
  #key = '';
  /** What of the current key, value or element came with earlier chunks. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #count = 0;
  #restBytes = 0;
  readonly #rest: string[] = [];

  /** @param newList makes what the elements of each list are put into */
  constructor(lists: readonly string[], newList: () => L, limits: SplitLimits = defaultSplitLimits) {
    this.#lists = new Map(lists.map((name) => [name, newList()]));
    this.#limits = limits;
  }

  /** Raw elements of a named list; undefined when the object lacks it or has something else in its place. */
  elements(list: string): L | undefined {
    return this.#present.has(list) ? this.#lists.get(list) : undefined;
  }

  /** @throws SplitError */
  push(chunk: Buffer): void {
    let from = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      if (this.#inString) {
        at = this.#stringEnd(chunk, at);
        continue;
      }
      const byte = chunk[at] ?? 0;
      const outside = this.#place === 'start' || this.#place === 'end';
      if (outside && !isSpace(byte) && byte !== 0x7b) throw notAnObject();
      if (byte === quote) this.#inString = true;
      else if (isOpen(byte)) from = this.#open(byte, at, from);
      else if (isClose(byte)) from = this.#close(chunk, at, from);
      else if (byte === comma && this.#depth <= 2) from = this.#comma(chunk, at, from);
      else if (byte === colon && this.#place === 'key') {
        this.#key = this.#keyText(this.#take(chunk, from, at));
        this.#place = 'colon';
        from = at + 1;
      } else if (this.#place === 'colon' && !isSpace(byte)) this.#place = 'value';
      if (this.#inString && this.#place === 'colon') this.#place = 'value';
    }
    this.#keep(chunk.subarray(from));
  }

  /** The members that are no named lists, as the text of one object. @throws SplitError when the object is not complete */
  end(): string {
    if (this.#place !== 'end' || this.#inString) throw new SplitError('the answer ends in the middle');
    return `{${this.#rest.join(',')}}`;
  }

  /** Index of the closing quote, or of the chunk's last byte when it is not there. */
  #stringEnd(chunk: Buffer, start: number): number {
    let at = start;
    if (this.#escaped) {
      this.#escaped = false;
      at += 1;
    }
    for (;;) {
      const end = chunk.indexOf(quote, at);
      const stop = end === -1 ? chunk.length : end;
      let slashes = 0;
      while (stop - 1 - slashes >= at && chunk[stop - 1 - slashes] === backslash) slashes += 1;
      if (end === -1) {
        this.#escaped = slashes % 2 === 1;
        return chunk.length - 1;
      }
      if (slashes % 2 === 0) {
        this.#inString = false;
        return end;
      }
      at = end + 1;
    }
  }

  #open(byte: number, at: number, from: number): number {
    this.#depth += 1;
    if (this.#place === 'start') {
      this.#place = 'key';
      return at + 1;
    }
    if (this.#place === 'colon') {
      const isList = byte === 0x5b && this.#lists.has(this.#key);
      this.#place = isList ? 'list' : 'value';
      if (isList) {
        this.#present.add(this.#key);
        return at + 1;
      }
    } else if (this.#place === 'end' || this.#place === 'key') throw notAnObject();
    return from;
  }

  #close(chunk: Buffer, at: number, from: number): number {
    this.#depth -= 1;
    if (this.#place === 'list' && this.#depth === 1) {
      this.#element(this.#take(chunk, from, at), true);
      this.#place = 'listed';
      return at + 1;
    }
    if (this.#depth > 0) return from;
    if (this.#depth < 0 || this.#place === 'end' || this.#place === 'start') throw notAnObject();
    this.#member(this.#take(chunk, from, at));
    this.#place = 'end';
    return at + 1;
  }

  #comma(chunk: Buffer, at: number, from: number): number {
    if (this.#place === 'list' && this.#depth === 2) {
      this.#element(this.#take(chunk, from, at), false);
      return at + 1;
    }
    if (this.#depth !== 1) return from;
    this.#member(this.#take(chunk, from, at));
    this.#place = 'key';
    return at + 1;
  }

  #element(text: string, last: boolean): void {
    const list = this.#lists.get(this.#key);
    if (text === '') {
      if (last && (list === undefined || list.length === 0)) return;
      throw new SplitError('a list lacks an element');
    }
    this.#count += 1;
    if (this.#count > this.#limits.elements) throw new SplitError('the answer holds too many elements');
    list?.push(text);
  }

  /** The end of a member's value; of a named list nothing is left. */
  #member(text: string): void {
    if (text === '' && (this.#place === 'key' || this.#place === 'listed')) return;
    if (text === '' || this.#place !== 'value') throw notAnObject();
    this.#restBytes += text.length;
    if (this.#restBytes > this.#limits.rest) throw new SplitError('the answer is too large');
    this.#rest.push(`${JSON.stringify(this.#key)}:${text}`);
  }

  #keyText(text: string): string {
    try {
      const key: unknown = JSON.parse(text);
      if (typeof key === 'string') return key;
    } catch {
      // Falls through: no string.
    }
    throw notAnObject();
  }

  /** The text since the last border, trimmed. */
  #take(chunk: Buffer, from: number, to: number): string {
    const last = chunk.subarray(from, to);
    const text = (this.#pending.length === 0 ? last : Buffer.concat([...this.#pending, last])).toString('utf8').trim();
    this.#pending = [];
    this.#pendingBytes = 0;
    return text;
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#place === 'start' || this.#place === 'end') return;
    this.#pendingBytes += part.length;
    const limit = this.#place === 'list' ? this.#limits.element : this.#limits.rest;
    if (this.#pendingBytes > limit) throw new SplitError('a part of the answer is too large');
    this.#pending.push(part);
  }
}

const notAnObject = (): SplitError => new SplitError('the answer is no JSON object');
