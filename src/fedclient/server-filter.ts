/** Which servers the operator lets this one speak with: globs over server names, with and without their port. */
import { globMatcher } from '../matrix/glob.ts';

export interface ServerLists {
  /** Undefined: everyone. */
  readonly allowServers: readonly string[] | undefined;
  readonly denyServers: readonly string[];
}

export class ServerFilter {
  readonly #allow: ((name: string) => boolean) | undefined;
  readonly #deny: (name: string) => boolean;

  constructor({ allowServers, denyServers }: ServerLists) {
    this.#allow = allowServers === undefined ? undefined : anyOf(allowServers);
    this.#deny = anyOf(denyServers);
  }

  /** Whether requests from and to this server are wanted; case does not count. */
  permits(server: string): boolean {
    const name = server.toLowerCase();
    const host = name.replace(/:\d+$/, '');
    if (this.#deny(name) || this.#deny(host)) return false;
    return this.#allow === undefined || this.#allow(name) || this.#allow(host);
  }
}

function anyOf(patterns: readonly string[]): (name: string) => boolean {
  const matchers = patterns.map((pattern) => globMatcher(pattern.toLowerCase()));
  return (name) => matchers.some((matches) => matches(name));
}
