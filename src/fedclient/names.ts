/**
 * Names to addresses and SRV records. Asked of the name servers without a thread per question (`dns.lookup` would take
 * one of libuv's few, which the disk and the signatures need), after the machine's own hosts file; only names that DNS
 * proper does not serve go to the operating system. Answers are kept for a while, in memory.
 */
import { Resolver } from 'node:dns/promises';
import { lookup } from 'node:dns/promises';
import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { SrvRecord } from '../matrix/discovery.ts';
import { codeOf } from '../util/error-text.ts';
import { Gate } from '../util/gate.ts';
import { LruCache } from '../util/lru.ts';

/** What discovery asks of the domain name system. */
export interface Names {
  /** All addresses of a host name, best first; empty when there are none. */
  addresses(host: string): Promise<readonly string[]>;
  /** Empty when there are no records, and when nobody could be asked. */
  srv(service: string): Promise<readonly SrvRecord[]>;
  /** Forgets what is known of a name, because it did not work. */
  forget(name: string): void;
  /** Gives up what is being asked. */
  close(): void;
}

const minuteMs = 60_000;
const addressesMs = minuteMs;
const noAddressesMs = 10_000;
const srvMs = 5 * minuteMs;
const srvFailedMs = minuteMs;
const hostsFile = process.platform === 'win32' ? 'C:/Windows/System32/drivers/etc/hosts' : '/etc/hosts';
const systemLookupsAtOnce = 2;
const questionsAtOnce = 64;

type Family = 4 | 6;

export class SystemNames implements Names {
  readonly #resolver = new Resolver({ timeout: 2000, tries: 2 });
  readonly #addresses = new LruCache<string, Promise<readonly string[]>>({ max: 10_000 });
  readonly #records = new LruCache<string, Promise<readonly SrvRecord[]>>({ max: 10_000 });
  readonly #hosts = new HostsFile(hostsFile);
  readonly #system = new Gate(systemLookupsAtOnce);
  readonly #questions = new Gate(questionsAtOnce);

  addresses(host: string): Promise<readonly string[]> {
    const name = host.toLowerCase().replace(/\.$/, '');
    return cached(this.#addresses, name, async () => {
      const found = await this.#lookUp(name);
      return { value: found, ms: found.length > 0 ? addressesMs : noAddressesMs };
    });
  }

  srv(service: string): Promise<readonly SrvRecord[]> {
    return cached(this.#records, service.toLowerCase(), async () => {
      try {
        return { value: await this.#questions.run(() => this.#resolver.resolveSrv(service)), ms: srvMs };
      } catch (error) {
        // Without an answer the search goes on with the plain name: the certificate decides whether that is right.
        return { value: [], ms: isAbsence(error) ? srvMs : srvFailedMs };
      }
    });
  }

  forget(name: string): void {
    this.#addresses.delete(name.toLowerCase());
    for (const service of ['_matrix-fed', '_matrix']) this.#records.delete(`${service}._tcp.${name.toLowerCase()}`);
  }

  close(): void {
    this.#resolver.cancel();
  }

  async #lookUp(name: string): Promise<readonly string[]> {
    const listed = await this.#hosts.addresses(name);
    if (listed.length > 0) return listed;
    if (name === 'localhost' || name.endsWith('.localhost')) return inOrder(['127.0.0.1'], ['::1']);
    const [ipv4, ipv6] = await Promise.all([this.#ask(name, 4), this.#ask(name, 6)]);
    const found = inOrder(ipv4.addresses, ipv6.addresses);
    if (found.length > 0 || !(ipv4.mayBeElsewhere || ipv6.mayBeElsewhere)) return found;
    return this.#system.run(() =>
      lookup(name, { all: true }).then(
        (entries) => entries.map(({ address }) => address),
        () => [],
      ),
    );
  }

  /** `mayBeElsewhere`: the operating system may know the name from somewhere else than the name servers. */
  async #ask(name: string, family: Family): Promise<{ addresses: string[]; mayBeElsewhere: boolean }> {
    try {
      const addresses = await this.#questions.run(() =>
        family === 4 ? this.#resolver.resolve4(name) : this.#resolver.resolve6(name),
      );
      return { addresses, mayBeElsewhere: false };
    } catch (error) {
      const special = !name.includes('.') || name.endsWith('.local') || codeOf(error) === 'ECONNREFUSED';
      return { addresses: [], mayBeElsewhere: special };
    }
  }
}

/** IPv6 first only where this machine has an IPv6 address that leads out. */
function inOrder(ipv4: readonly string[], ipv6: readonly string[]): readonly string[] {
  const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
    list?.some(({ family, internal, address }) => family === 'IPv6' && !internal && !/^f[ec]/i.test(address)),
  );
  return hasIpv6 ? [...ipv6, ...ipv4] : [...ipv4, ...ipv6];
}

const isAbsence = (error: unknown): boolean => ['ENOTFOUND', 'ENODATA'].includes(codeOf(error) ?? '');

/** One question at a time for each key; the answer says for how long it is good. */
function cached<T>(
  cache: LruCache<string, Promise<T>>,
  key: string,
  ask: () => Promise<{ readonly value: T; readonly ms: number }>,
): Promise<T> {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const asked: Promise<T> = ask().then(({ value, ms }) => {
    if (cache.peek(key) === asked) cache.set(key, asked, { ttl: ms });
    return value;
  });
  cache.set(key, asked);
  return asked;
}

/** The hosts file, read again when it changes. */
class HostsFile {
  readonly #path: string;
  #version = '';
  #names: ReadonlyMap<string, readonly string[]> = new Map();

  constructor(path: string) {
    this.#path = path;
  }

  async addresses(name: string): Promise<readonly string[]> {
    try {
      const { mtimeMs, size, ino } = await stat(this.#path);
      const version = `${mtimeMs} ${size} ${ino}`;
      if (version !== this.#version) {
        this.#names = parseHosts(await readFile(this.#path, 'utf8'));
        this.#version = version;
      }
    } catch {
      this.#names = new Map();
      this.#version = '';
    }
    return this.#names.get(name) ?? [];
  }
}

/** Name → addresses of a hosts file's text; names in lower case. */
export function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const alias of aliases) {
      const key = alias.toLowerCase();
      const list = names.get(key);
      if (list === undefined) names.set(key, [address]);
      else if (!list.includes(address)) list.push(address);
    }
  }
  return names;
}
