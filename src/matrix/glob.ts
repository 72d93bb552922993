/**
 * Glob-style matching (Appendices v1.19 §Glob-style matching): `*` is any run of characters, `?` exactly one. Patterns come
 * from users, so nothing here becomes a RegExp: the pieces between the stars are searched left to right, which takes at most
 * pattern × text steps and never backtracks.
 */

/** Where a piece without stars ends if it stands at `at`; -1 when it does not. `?` takes a whole code point. */
const endAt = (piece: string, text: string, at: number): number => {
  let position = at;
  for (const character of piece) {
    if (position >= text.length) return -1;
    if (character === '?') position += (text.codePointAt(position) ?? 0) > 0xffff ? 2 : 1;
    else if (text.startsWith(character, position)) position += character.length;
    else return -1;
  }
  return position;
};

/** End of the first occurrence of `piece` from `from` on that passes `accept`; -1 when there is none. */
const search = (piece: string, text: string, from: number, accept: (start: number, end: number) => boolean): number => {
  const literal = !piece.includes('?');
  for (let start = from; start <= text.length; start++) {
    if (literal) {
      start = text.indexOf(piece, start);
      if (start < 0) return -1;
    }
    const end = literal ? start + piece.length : endAt(piece, text, start);
    if (end >= 0 && accept(start, end)) return end;
  }
  return -1;
};

const anywhere = (): boolean => true;

/** A test for texts that the pattern matches as a whole. Case counts. */
export const globMatcher = (pattern: string): ((text: string) => boolean) => {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined)
    return pattern.includes('?') ? (text) => endAt(first, text, 0) === text.length : (text) => text === pattern;
  return (text) => {
    let position = endAt(first, text, 0);
    for (const piece of rest) {
      if (position < 0) return false;
      position = search(piece, text, position, anywhere);
    }
    return position >= 0 && search(last, text, position, (_, end) => end === text.length) >= 0;
  };
};

/** True when the pattern says something else than its own text. */
export const isGlob = (pattern: string): boolean => pattern.includes('*') || pattern.includes('?');

/** Whether the whole text matches the pattern; case counts (lower both first where it must not). */
export const matchesGlob = (pattern: string, text: string): boolean => globMatcher(pattern)(text);

/** A word boundary is the start or end of the value, or any character not in the sets [A-Z], [a-z], [0-9] or _. */
const isWord = (text: string, at: number): boolean => /^[A-Za-z0-9_]$/.test(text.charAt(at));
const isBoundary = (text: string, at: number): boolean => !isWord(text, at - 1) || !isWord(text, at);

/**
 * A test for texts of which some part that starts and ends at a word boundary matches the pattern (C-S API v1.19 §Push
 * Rules, `content.body`). Case counts.
 */
export const wordGlobMatcher = (pattern: string): ((text: string) => boolean) => {
  const pieces = pattern.split('*');
  return (text) => {
    let position = 0;
    for (const [index, piece] of pieces.entries()) {
      const starts = index === 0;
      const ends = index === pieces.length - 1;
      position = search(
        piece,
        text,
        position,
        (start, end) => (!starts || isBoundary(text, start)) && (!ends || isBoundary(text, end)),
      );
      if (position < 0) return false;
    }
    return true;
  };
};
