/**
 * Which addresses the server may connect to when somebody else named the host (link previews, push gateways, identity
 * servers, other homeservers): public ones, so that nobody reaches the machine itself or its network through it.
 */
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Everything that is not globally reachable unicast (the IANA special-purpose registries). */
const special = [
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24',
  '192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24',
  '203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
  // Those that carry an IPv4 address inside (mapped, translated, 6to4, Teredo) lead wherever that one leads.
  '::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48',
  '3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8',
]
  .join(' ')
  .split(' ');

/** One list a family: an IPv4 address would also match `::ffff:0:0/96`. */
class Ranges {
  readonly #ipv4 = new BlockList();
  readonly #ipv6 = new BlockList();

  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const [address = '', prefix] = range.split('/');
      const bits = prefix === undefined ? (isIP(address) === 6 ? 128 : 32) : Number(prefix);
      if (isIP(address) === 6) this.#ipv6.addSubnet(address, bits, 'ipv6');
      else this.#ipv4.addSubnet(address, bits, 'ipv4');
    }
  }

  has(address: string): boolean {
    return isIP(address) === 6 ? this.#ipv6.check(address, 'ipv6') : this.#ipv4.check(address, 'ipv4');
  }
}

const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;
/** What everyone may see of a machine that is reachable from outside. */
const publicPorts = new Set([80, 443]);

export class AddressGuard {
  readonly #refused = new Ranges(special);
  readonly #allowed: Ranges;

  /** @param allow addresses and ranges that are fine although they are not public */
  constructor(allow: readonly string[]) {
    this.#allowed = new Ranges(allow);
  }

  /** Whether the server may connect to this address (never a name) and port. */
  permits(address: string, port: number): boolean {
    const plain = mapped.exec(address)?.[1] ?? address.replace(/%.*$/, '');
    if (isIP(plain) === 0) return false;
    if (this.#allowed.has(plain)) return true;
    if (this.#refused.has(plain)) return false;
    // A firewall may let this machine itself reach what it hides from others.
    return publicPorts.has(port) || !isOwn(plain);
  }
}

const isOwn = (address: string): boolean =>
  Object.values(networkInterfaces()).some((list) => list?.some((entry) => entry.address === address));
