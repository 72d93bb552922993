/**
 * Glob-style matching (Appendices v1.19 §Glob-style matching): `*` is any text, `?` exactly one character. Patterns
 * come from strangers, so the matcher takes time proportional to pattern × text and never more, unlike a regular
 * expression with many stars.
 */

/** True when the pattern says something else than its own text. */
export const isGlob = (pattern: string): boolean => pattern.includes('*') || pattern.includes('?');

/** Whether the whole text matches the pattern; case counts (lower both first where it must not). */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let inPattern = 0;
  // Where to go on when what follows the last star turns out wrong: the star takes one character more.
  let afterStar = -1;
  let takenUpTo = 0;
  while (at < text.length) {
    const wanted = pattern[inPattern];
    if (wanted === '*') {
      afterStar = ++inPattern;
      takenUpTo = at;
    } else if (wanted === '?' || wanted === text[at]) {
      inPattern++;
      at++;
    } else if (afterStar >= 0) {
      inPattern = afterStar;
      at = ++takenUpTo;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === '*') inPattern++;
  return inPattern === pattern.length;
}
