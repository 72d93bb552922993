/**
 * What counts as a word in search (messages, names of people). Texts and search terms are folded and cut alike: case, compatibility forms and
 * diacritics do not matter. Scripts that are written without blanks between words (Han, Kana, Thai and their like) are
 * indexed as overlapping pairs of characters, so that any part of such a text can be found, whatever its words are.
 */

const word = /[\p{L}\p{M}\p{N}]+|\p{Extended_Pictographic}/gu;
const unspaced =
  /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{scx=Tibt}]+/u;
const runs = new RegExp(`(${unspaced.source})`, 'u');
/** Diacritics of Latin, Greek and Cyrillic; the signs of other scripts tell words apart. */
const diacritics = /[\u0300-\u036f]/g;
/** Longer ones (hashes, encoded data) are cut, in characters. */
const longestWord = 48;
/** Beyond this many words of one text or term the rest is left out. */
const mostWords = 20_000;
const mostTerms = 32;

const folded = (text: string): string =>
  text.normalize('NFKD').replace(diacritics, '').normalize('NFC').toLowerCase().normalize('NFC');

interface Piece {
  readonly text: string;
  readonly isUnspaced: boolean;
}

/** The text cut into words and into runs of scripts without blanks, in their order. */
function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  for (const [match] of folded(text).matchAll(word)) {
    for (const part of match.split(runs)) {
      if (part !== '') found.push({ text: part, isUnspaced: unspaced.test(part) });
    }
  }
  return found;
}

/** Pairs of neighbours; the last character stands alone too, so that each begins one token. */
function pairs(run: string): string[] {
  const characters = Array.from(run);
  return characters.map((character, index) => character + (characters[index + 1] ?? ''));
}

const cut = (text: string): string =>
  text.length <= longestWord ? text : Array.from(text).slice(0, longestWord).join('');

/** The words of a text as the index takes them: separated by blanks. Empty when it has none. */
export function indexedWords(text: string): string {
  const words: string[] = [];
  for (const piece of pieces(text)) {
    if (piece.isUnspaced) words.push(...pairs(piece.text));
    else words.push(cut(piece.text));
    if (words.length > mostWords) break;
  }
  return words.slice(0, mostWords).join(' ');
}

export interface SearchTerm {
  /** All of these must be in the text, in the language of the index. */
  readonly expressions: readonly string[];
  /** What a client should highlight. */
  readonly highlights: readonly string[];
}

/** Reads what somebody looks for: all words, in any order; those in double quotes next to each other and in their order. */
export function parseSearchTerm(text: string): SearchTerm {
  const expressions = new Set<string>();
  const highlights = new Set<string>();
  for (const [index, part] of text.split('"').entries()) {
    const found = pieces(part);
    for (const piece of found) highlights.add(piece.text);
    // Every second part stands between quotes.
    if (index % 2 === 1 && found.length > 0) expressions.add(phrase(found));
    else for (const piece of found) expressions.add(expressionOf(piece));
  }
  return { expressions: [...expressions].slice(0, mostTerms), highlights: [...highlights] };
}

/** Pieces hold letters, digits and pictures only: nothing in them needs an escape. */
function expressionOf({ text, isUnspaced }: Piece): string {
  if (isUnspaced) return runExpression(text);
  const exact = `"${cut(text)}"`;
  // "message" finds "messages": many languages put their endings last. What is found as it stands ranks higher.
  return /^\p{L}{3,}$/u.test(text) ? `(${exact} OR ${exact}*)` : exact;
}

const runExpression = (run: string): string => {
  const tokens = pairs(run);
  return tokens.length === 1 ? `"${run}"*` : `"${tokens.slice(0, -1).join(' ')}"`;
};

/** Words next to each other. A run's last pair may be followed by anything, so only words in front of it are bound. */
function phrase(found: readonly Piece[]): string {
  if (found.length === 1 && found[0]?.isUnspaced === true) return runExpression(found[0].text);
  if (found.some(({ isUnspaced }) => isUnspaced)) return found.map(expressionOf).join(' AND ');
  return `"${found.map(({ text }) => cut(text)).join(' ')}"`;
}

/** What a name must hold for a search while it is typed: each word, or what a word begins with. */
export const nameExpressions = (text: string): string[] =>
  pieces(text)
    .slice(0, mostTerms)
    .map((piece) => (piece.isUnspaced ? runExpression(piece.text) : `"${cut(piece.text)}"*`));

/** Whether a name holds all words of a term or their beginnings, as `nameExpressions` asks an index. */
export function matchesName(term: string, name: string): boolean {
  const words = pieces(name);
  return pieces(term).every((wanted) =>
    words.some((own) =>
      wanted.isUnspaced ? own.isUnspaced && own.text.includes(wanted.text) : own.text.startsWith(wanted.text),
    ),
  );
}
