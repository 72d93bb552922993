/** Configuration: one documented schema, read from file, environment and flags into a frozen `Config`. */
export { renderConfig, renderExampleYaml } from './example.ts';
export type { ConfigSources } from './load.ts';
export { formatFault, loadConfig } from './load.ts';
export type { ConfigFault } from './raw.ts';
export type { Config, Listener } from './schema.ts';
export { mailOptions, publicBaseUrl, trustedProxyList } from './derived.ts';
