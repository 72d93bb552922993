/**
 * The route table: a trie over the raw segments of a URL's path. Each segment is decoded once, after the path was split,
 * so that `%2F` inside an event id or a state key stays inside its parameter. A literal segment wins over a parameter.
 */

interface Endpoint<T> {
  readonly value: T;
  /** Names of the parameters in the order of the path. */
  readonly names: readonly string[];
  /** Parameters that the path lacks: the empty string. */
  readonly absent: readonly string[];
}

class Node<T> {
  readonly literals = new Map<string, Node<T>>();
  parameter: Node<T> | undefined;
  /** By method. */
  readonly endpoints = new Map<string, Endpoint<T>>();
}

export interface Match<T> {
  readonly kind: 'match';
  readonly value: T;
  readonly params: Record<string, string>;
}

/**
 * What a path and method lead to: a row, a path that has other methods, nothing, or a row whose parameters are not
 * well-formed percent-encoded UTF-8.
 */
export type Found<T> =
  | Match<T>
  | { readonly kind: 'other-method'; readonly methods: readonly string[] }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'malformed' };

const decode = (segment: string): string | undefined => {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
};

export class RouteTrie<T> {
  readonly #root = new Node<T>();

  /**
   * @param wanted names of all parameters that a match shall have; those that are not in `path` are empty
   * @throws Error when the method and path (whatever its parameters are called) are taken already
   */
  add(method: string, path: string, value: T, wanted: readonly string[] = []): void {
    if (!path.startsWith('/')) throw new Error(`the path ${path} does not begin with a slash`);
    const names: string[] = [];
    let node = this.#root;
    for (const segment of path.slice(1).split('/')) {
      if (segment.startsWith(':')) {
        names.push(segment.slice(1));
        node = node.parameter ??= new Node<T>();
      } else {
        let child = node.literals.get(segment);
        if (child === undefined) node.literals.set(segment, (child = new Node<T>()));
        node = child;
      }
    }
    if (node.endpoints.has(method)) throw new Error(`two routes serve ${method} ${path}`);
    node.endpoints.set(method, { value, names, absent: wanted.filter((name) => !names.includes(name)) });
  }

  /** @param path the path as it came, without query, still percent-encoded. */
  find(method: string, path: string): Found<T> {
    const raw = path.slice(1).split('/');
    const segments = raw.map(decode);
    const others = new Set<string>();
    const values: (string | undefined)[] = [];
    const endpoint = this.#walk(this.#root, segments, 0, values, method, others);
    if (endpoint === undefined)
      return others.size > 0 ? { kind: 'other-method', methods: [...others] } : { kind: 'unknown' };
    const params: Record<string, string> = {};
    for (const [index, name] of endpoint.names.entries()) {
      const value = values[index];
      if (value === undefined) return { kind: 'malformed' };
      params[name] = value;
    }
    for (const name of endpoint.absent) params[name] = '';
    return { kind: 'match', value: endpoint.value, params };
  }

  #walk(
    node: Node<T>,
    segments: readonly (string | undefined)[],
    depth: number,
    values: (string | undefined)[],
    method: string,
    others: Set<string>,
  ): Endpoint<T> | undefined {
    if (depth === segments.length) {
      const endpoint = node.endpoints.get(method);
      if (endpoint === undefined) for (const other of node.endpoints.keys()) others.add(other);
      return endpoint;
    }
    const segment = segments[depth];
    const literal = segment === undefined ? undefined : node.literals.get(segment);
    if (literal !== undefined) {
      const found = this.#walk(literal, segments, depth + 1, values, method, others);
      if (found !== undefined) return found;
    }
    // Only the last segment may be empty (the empty state key): `/rooms//send` names no room.
    if (node.parameter === undefined || (segment === '' && depth < segments.length - 1)) return undefined;
    values.push(segment);
    const found = this.#walk(node.parameter, segments, depth + 1, values, method, others);
    if (found === undefined) values.pop();
    return found;
  }
}
