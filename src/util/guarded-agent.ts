/**
 * Connections to hosts that somebody else named. A name is looked up once, each address is checked, and the connection
 * goes to a checked address: a name server that answers differently the second time (DNS rebinding) gains nothing.
 * Redirects are not followed here: whoever follows one comes through here again.
 */
import { lookup as systemLookup, type LookupAddress, type LookupAllOptions } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import type { Agent } from 'undici';
import type { AddressGuard } from './address-guard.ts';
import { LazyAgent, undici } from './lazy.ts';

/** The host leads to an address that the guard refuses. Whoever asked is not told so: it would map the inner network. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

/** Looks a name up, all addresses, as `dns.lookup` does. */
export type Lookup = (
  host: string,
  options: LookupAllOptions,
  callback: (error: Error | null, addresses: LookupAddress[]) => void,
) => void;

/** An undici agent that only reaches what `guard` permits, over `connections` an origin. The caller closes it. */
export function guardedAgent(
  guard: AddressGuard,
  connectMs: number,
  lookup: Lookup = systemLookup,
  connections = 4,
): LazyAgent {
  const options: Agent.Options = {
    connect: (options, callback) => {
      const port = Number(options.port) || (options.protocol === 'https:' ? 443 : 80);
      const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
      // Addresses are not looked up, so that the check below would never see them.
      if (isIP(host) !== 0 && !guard.permits(host, port)) return callback(new AddressRefused(host), null);
      const checked = checkedLookup(guard, port, lookup);
      return undici().buildConnector({ timeout: connectMs, allowH2: false, lookup: checked })(options, callback);
    },
    connections,
    pipelining: 1,
    keepAliveTimeout: 1_000,
  };
  return new LazyAgent(() => new (undici().Agent)(options));
}

const checkedLookup =
  (guard: AddressGuard, port: number, lookup: Lookup): LookupFunction =>
  (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0);
      const permitted = addresses.filter(({ address }) => guard.permits(address, port));
      const [first] = permitted;
      if (first === undefined) return callback(new AddressRefused(host), '', 0);
      if (options.all === true) callback(null, permitted);
      else callback(null, first.address, first.family);
    });
  };
