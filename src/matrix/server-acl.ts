/**
 * Server access control lists (C-S API v1.19 §Server ACLs): whether `m.room.server_acl` lets a server take part in a
 * room. Lists are compiled once per content: plain names into a set, patterns into a list.
 */
import { isIPv4 } from 'node:net';
import { isGlob, matchesGlob } from './glob.ts';
import { type JsonObject, memberOf } from './json.ts';

interface HostList {
  readonly names: ReadonlySet<string>;
  readonly patterns: readonly string[];
}

/** A compiled ACL. */
export interface ServerAcl {
  readonly allowIpLiterals: boolean;
  readonly allow: HostList;
  readonly deny: HostList;
}

/** A missing list, or one that is no list, is empty. */
function compileList(list: unknown): HostList {
  const names = new Set<string>();
  const patterns: string[] = [];
  if (!Array.isArray(list)) return { names, patterns };
  for (const entry of list) {
    if (typeof entry !== 'string') continue;
    const lower = entry.toLowerCase();
    if (isGlob(lower)) patterns.push(lower);
    else names.add(lower);
  }
  return { names, patterns };
}

const isListed = (host: string, list: HostList): boolean =>
  list.names.has(host) || list.patterns.some((pattern) => matchesGlob(pattern, host));

/** Reads the content of an `m.room.server_acl` event. */
export const compileServerAcl = (content: JsonObject): ServerAcl => ({
  // Only an explicit `false` forbids IP literals.
  allowIpLiterals: memberOf(content, 'allow_ip_literals') !== false,
  allow: compileList(memberOf(content, 'allow')),
  deny: compileList(memberOf(content, 'deny')),
});

/** The host of a server name in lower case: without the port, an IPv6 literal still in its brackets. */
function hostOf(serverName: string): string {
  const port = /:\d*$/.exec(serverName);
  return (port === null ? serverName : serverName.slice(0, port.index)).toLowerCase();
}

const compiled = new WeakMap<JsonObject, ServerAcl>();

/**
 * Whether a server may take part: IP literals, then `deny`, then `allow`, else no. A content of `undefined` means that
 * the room has no ACL event, which lets everyone in.
 */
export function isServerAllowed(content: JsonObject | undefined, serverName: string): boolean {
  // Without an ACL event everyone is allowed.
  if (content === undefined) return true;
  let acl = compiled.get(content);
  if (acl === undefined) {
    acl = compileServerAcl(content);
    compiled.set(content, acl);
  }
  const host = hostOf(serverName);
  // IP literals, where they are forbidden.
  if (!acl.allowIpLiterals && (host.startsWith('[') || isIPv4(host))) return false;
  // Who matches `deny` is out, then who matches `allow` is in; all others are out.
  return !isListed(host, acl.deny) && isListed(host, acl.allow);
}
