/**
 * Server discovery (S-S API v1.19 §Resolving server names) as a step machine: each step is a question for the network or
 * the route at the end; the answer leads to the next step. What a route says: where to connect, which `Host` to send,
 * whose certificate to demand.
 */
import { isIP } from 'node:net';
import { parseServerName, type ServerName } from './ids.ts';
import { memberOf, parseJson } from './json.ts';

/** A name or address (IPv6 without brackets) and a port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface ServerRoute {
  /** The `Host` header. */
  readonly hostHeader: string;
  /** Name (sent as SNI) or address (no SNI) that the certificate must be for. */
  readonly tlsName: string;
  /** In the order in which they are to be tried; never empty. */
  readonly endpoints: readonly Endpoint[];
}

export interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

export type DiscoveryStep =
  /** Ask `https://<hostname>/.well-known/matrix/server`, then `afterWellKnown`. */
  | { readonly step: 'well-known'; readonly hostname: string }
  /** Look up SRV records of `service`, then `afterSrv`. */
  | { readonly step: 'srv'; readonly service: string; readonly hostname: string; readonly deprecated: boolean }
  | { readonly step: 'found'; readonly route: ServerRoute }
  /** The name says of itself that it offers no such service. */
  | { readonly step: 'none'; readonly reason: string };

export const defaultPort = 8448;

interface Parts {
  /** Without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly isAddress: boolean;
}

function partsOf(name: string): Parts {
  const [, bracketed, plain = '', port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(name) ?? [];
  const host = bracketed ?? plain;
  return { host, port: port === undefined ? undefined : Number(port), isAddress: isIP(host) !== 0 };
}

const found = (hostHeader: string, tlsName: string, endpoints: readonly Endpoint[]): DiscoveryStep => ({
  step: 'found',
  route: { hostHeader, tlsName, endpoints },
});

/** Steps 1 and 2 (and 3.1, 3.2 for a delegated name): an address, or a name with a port. */
function explicit(name: string, { host, port, isAddress }: Parts): DiscoveryStep | undefined {
  if (!isAddress && port === undefined) return undefined;
  return found(name, host, [{ host, port: port ?? defaultPort }]);
}

const srv = (hostname: string, deprecated: boolean): DiscoveryStep => ({
  step: 'srv',
  service: `${deprecated ? '_matrix' : '_matrix-fed'}._tcp.${hostname}`,
  hostname,
  deprecated,
});

/** The first step for a server name. */
export function beginDiscovery(name: ServerName): DiscoveryStep {
  const parts = partsOf(name);
  return explicit(name, parts) ?? { step: 'well-known', hostname: parts.host };
}

/** The step after the well-known file of `hostname`, which names `delegated`, or is missing or wrong (undefined). */
export function afterWellKnown(hostname: string, delegated: ServerName | undefined): DiscoveryStep {
  if (delegated === undefined) return srv(hostname, false);
  const parts = partsOf(delegated);
  return explicit(delegated, parts) ?? srv(parts.host, false);
}

/** The step after an SRV look-up; `random` gives numbers in [0, 1). */
export function afterSrv(
  { hostname, deprecated }: { readonly hostname: string; readonly deprecated: boolean },
  records: readonly SrvRecord[],
  random: () => number,
): DiscoveryStep {
  if (records.length === 0) {
    // Steps 3.5 and 6: no SRV record at all.
    return deprecated ? found(hostname, hostname, [{ host: hostname, port: defaultPort }]) : srv(hostname, true);
  }
  const usable = records.filter(({ name }) => name !== '' && name !== '.');
  // "A Target of "." means that the service is decidedly not available at this domain" (RFC 2782).
  if (usable.length === 0) return { step: 'none', reason: `${hostname} offers no federation, says its SRV record` };
  const endpoints = orderSrv(usable, random).map(({ name, port }) => ({ host: name.replace(/\.$/, ''), port }));
  return found(hostname, hostname, endpoints);
}

/** Lowest priority first, within one priority a weighted random order (RFC 2782). */
export function orderSrv(records: readonly SrvRecord[], random: () => number): SrvRecord[] {
  const left = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: SrvRecord[] = [];
  while (left.length > 0) {
    const group = left.filter(({ priority }) => priority === left[0]?.priority);
    let mark = random() * (group.reduce((sum, { weight }) => sum + weight, 0) + Number.EPSILON);
    const chosen = group.find(({ weight }) => (mark -= weight) <= 0) ?? group[0];
    if (chosen === undefined) break;
    ordered.push(chosen);
    left.splice(left.indexOf(chosen), 1);
  }
  return ordered;
}

/** The delegated name in a well-known file; its content type does not matter. Undefined when the file is not valid. */
export function delegatedName(text: string): ServerName | undefined {
  const name = memberOf(parseJson(text), 'm.server');
  return typeof name === 'string' ? parseServerName(name) : undefined;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** "The recommended sensible default is 24 hours", "a maximum cache time for responses: 48 hours is recommended". */
const defaultLifetimeMs = 24 * hourMs;
const longestLifetimeMs = 48 * hourMs;
/** Below this a file would be asked for again with nearly every request. */
const shortestLifetimeMs = 5 * minuteMs;

export interface CacheHeaders {
  readonly cacheControl?: string | undefined;
  readonly expires?: string | undefined;
  readonly age?: string | undefined;
}

/** For how many ms a valid well-known file counts. */
export function wellKnownLifetime({ cacheControl = '', expires, age }: CacheHeaders, nowMs: number): number {
  const clamp = (ms: number): number => Math.min(longestLifetimeMs, Math.max(shortestLifetimeMs, ms));
  if (/(?:^|[\s,])no-(?:store|cache)\b/i.test(cacheControl)) return shortestLifetimeMs;
  const seconds = /(?:^|[\s,])max-age\s*=\s*"?(\d{1,12})/i.exec(cacheControl)?.[1];
  if (seconds !== undefined) {
    const spent = /^\d{1,9}$/.test(age ?? '') ? Number(age) : 0;
    return clamp((Number(seconds) - spent) * 1000);
  }
  const until = expires === undefined ? Number.NaN : Date.parse(expires);
  // An Expires that is no date counts as in the past (RFC 9111 §5.3).
  if (expires !== undefined) return clamp(Number.isNaN(until) ? 0 : until - nowMs);
  return defaultLifetimeMs;
}

/** For how many ms a missing or wrong file counts, after `failures` in a row (1 for the first): 2 minutes, doubling, up to an hour. */
export const wellKnownErrorLifetime = (failures: number): number =>
  Math.min(hourMs, 2 * minuteMs * 2 ** Math.min(failures - 1, 10));
