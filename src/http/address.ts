/** Where a request comes from: the peer's address, or what a trusted proxy says in `X-Forwarded-For`. */
import { isIP, type BlockList } from 'node:net';

/** IPv4 addresses that an IPv6 socket shows as `::ffff:1.2.3.4` are written plainly. */
const plain = (address: string): string => (/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address);

const isTrusted = (address: string, trusted: BlockList): boolean => {
  const family = isIP(address);
  return family !== 0 && trusted.check(address, family === 6 ? 'ipv6' : 'ipv4');
};

/**
 * The client's address: the rightmost one of peer and `X-Forwarded-For` that is no trusted proxy (each proxy appends
 * the address that it saw, so what stands left of an untrusted one is the client's own invention).
 */
export function clientAddress(peer: string | undefined, forwardedFor: string | undefined, trusted: BlockList): string {
  let address = plain(peer ?? '');
  if (forwardedFor === undefined) return address;
  const hops = forwardedFor.split(',').map((hop) => plain(hop.trim().replace(/^\[(.*)\](:\d+)?$/, '$1')));
  while (isTrusted(address, trusted)) {
    const hop = hops.pop();
    if (hop === undefined || isIP(hop) === 0) break;
    address = hop;
  }
  return address;
}

/** What one address is limited by: an IPv6 customer has a whole /64. */
export function limitedAddress(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(Math.max(gap, 0)).fill('0'), ...right];
  return `${groups.slice(0, 4).join(':')}::/64`;
}
