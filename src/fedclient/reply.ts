/** Readers of answers: a small JSON object as a whole, or one with long lists of events that stay raw text. */
import * as v from 'valibot';
import { isJsonObject, isTooDeep, parseJson, type JsonObject } from '../matrix/json.ts';
import { bytesOf, type FederationAnswer } from './exchange.ts';
import { ObjectSplitter, type TextSink } from './object-splitter.ts';
import { TextList } from './text-list.ts';
import { Slice } from '../util/slice.ts';

/** The answer is not what the specification says. */
export class BadReply extends Error {
  override readonly name = 'BadReply';
}

function objectOf(text: string): JsonObject {
  const value = isTooDeep(text) ? undefined : parseJson(text);
  if (!isJsonObject(value)) throw new BadReply('the answer is no JSON object');
  return value;
}

/** @throws BadReply in one sentence that names the place */
function checked<S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new BadReply(`the answer is wrong at ${v.getDotPath(issue) ?? 'its top'}: ${issue.message}`.slice(0, 200));
}

/** Reads the whole body as a JSON object. @throws BadReply */
export const jsonReply = async (answer: FederationAnswer): Promise<JsonObject> =>
  objectOf((await bytesOf(answer.body)).toString('utf8'));

/** A reader of objects of one shape. */
export const replyOf =
  <S extends v.GenericSchema>(schema: S) =>
  async (answer: FederationAnswer): Promise<v.InferOutput<S>> =>
    checked(schema, await jsonReply(answer));

export interface ListReply<N extends string, L, T> {
  /** Raw JSON texts, neither parsed nor checked. */
  readonly lists: Readonly<Record<N, L>>;
  /** All other members. */
  readonly rest: T;
  readonly restText: string;
}

const readerOf =
  <const N extends string, L extends TextSink, S extends v.GenericSchema>(
    names: readonly N[],
    schema: S,
    newList: () => L,
  ) =>
  async (answer: FederationAnswer): Promise<ListReply<N, L, v.InferOutput<S>>> => {
    const splitter = new ObjectSplitter(names, newList);
    // Pieces that are here already come without a turn between them.
    const slice = new Slice();
    for await (const piece of answer.body) {
      splitter.push(piece);
      await slice.tick();
    }
    const restText = splitter.end();
    const rest = checked(schema, objectOf(restText));
    const entries = names.map((name): [N, L] => {
      const elements = splitter.elements(name);
      if (elements === undefined) throw new BadReply(`the answer has no list ${name}`);
      return [name, elements];
    });
    return { lists: Object.fromEntries(entries) as Record<N, L>, rest, restText };
  };

/** A reader of objects with long lists: their elements as raw text, the other members by a schema. */
export const listReplyOf = <const N extends string, S extends v.GenericSchema>(names: readonly N[], schema: S) =>
  readerOf(names, schema, (): string[] => []);

/** The same for lists as big as a room. */
export const bigReplyOf = <const N extends string, S extends v.GenericSchema>(names: readonly N[], schema: S) =>
  readerOf(names, schema, () => new TextList());

/** Strings of a list, each out of its text when it comes; what is none is left out. */
class StringList implements TextSink {
  readonly strings: string[] = [];
  length = 0;

  push(text: string): void {
    this.length += 1;
    const value = parseJson(text);
    if (typeof value === 'string') this.strings.push(value);
  }
}

/** The same for long lists of strings. */
export const stringsReplyOf = <const N extends string, S extends v.GenericSchema>(names: readonly N[], schema: S) =>
  readerOf(names, schema, () => new StringList());
