/** What follows from several keys of the configuration. */
import { BlockList, isIP } from 'node:net';
import type { MailOptions } from '../util/mailer.ts';
import type { Config } from './schema.ts';

/** The mail server, if there is one. */
export const mailOptions = ({ mail: { host, from, ...mail } }: Pick<Config, 'mail'>): MailOptions | undefined =>
  host === undefined || from === undefined ? undefined : { ...mail, host, from };

/** The address that clients use, without a trailing slash: `public_base_url`, or what follows from the server name. */
export const publicBaseUrl = (config: Pick<Config, 'publicBaseUrl' | 'serverName' | 'listeners'>): string => {
  if (config.publicBaseUrl !== undefined) return config.publicBaseUrl.replace(/\/+$/, '');
  const listener = config.listeners.find(({ resources }) => resources.includes('client'));
  if (config.serverName !== 'localhost' || listener === undefined) return `https://${config.serverName}`;
  return `${listener.tls === undefined ? 'http' : 'https'}://localhost:${listener.port}`;
};

/** `trusted_proxies` as a list to check a peer's address against. */
export const trustedProxyList = (config: Pick<Config, 'trustedProxies'>): BlockList => {
  const trusted = new BlockList();
  for (const range of config.trustedProxies) {
    const [address = '', prefix] = range.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(prefix), family);
  }
  return trusted;
};
