/**
 * The regular expressions of namespaces (A-S API v1.19 §Registration). They are POSIX ones by the specification, Python
 * or Go ones in practice: what those have in common with JavaScript stays, the few usual differences are written anew.
 */

const posixClasses: Readonly<Record<string, string>> = {
  alnum: 'A-Za-z0-9',
  alpha: 'A-Za-z',
  blank: ' \\t',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  xdigit: '0-9A-Fa-f',
};

/** The expression, bound to the beginning of what it is held against; undefined when it is none. */
export function compileNamespace(source: string): RegExp | undefined {
  const [, flags = '', rest = ''] = /^(?:\(\?([is]+)\))?([^]*)$/.exec(source) ?? [];
  const pattern = rest
    .replaceAll(/\[:([a-z]+):\]/g, (whole, name: string) => posixClasses[name] ?? whole)
    .replaceAll('(?P<', '(?<')
    .replaceAll(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll('\\A', '^')
    .replaceAll(/\\[zZ]/g, '$');
  try {
    return new RegExp(`^(?:${pattern})`, flags);
  } catch {
    return undefined;
  }
}
