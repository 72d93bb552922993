/** Server discovery (S-S API v1.19 §Resolving server names): asks the network what the step machine wants to know. */
import { afterSrv, afterWellKnown, beginDiscovery, type ServerRoute } from '../matrix/discovery.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { Names } from './names.ts';
import type { WellKnown } from './well-known.ts';

export class ServerResolver {
  readonly #names: Names;
  readonly #wellKnown: WellKnown;
  readonly #random: () => number;

  constructor(names: Names, wellKnown: WellKnown, random: () => number = Math.random) {
    this.#names = names;
    this.#wellKnown = wellKnown;
    this.#random = random;
  }

  /** Where and how to reach a server; nothing is cached here but what the well-known file and DNS say. @throws Error */
  async resolve(server: ServerName): Promise<ServerRoute> {
    let step = beginDiscovery(server);
    for (;;) {
      switch (step.step) {
        case 'well-known':
          step = afterWellKnown(step.hostname, await this.#wellKnown.delegated(step.hostname));
          break;
        case 'srv':
          step = afterSrv(step, await this.#names.srv(step.service), this.#random);
          break;
        case 'found':
          return step.route;
        case 'none':
          throw new Error(step.reason);
      }
    }
  }

  /** The route did not lead to the server: what it was made from is asked for again soon. */
  suspect(server: ServerName, route: ServerRoute | undefined): void {
    const first = beginDiscovery(server);
    if (first.step === 'well-known') this.#wellKnown.suspect(first.hostname);
    for (const { host } of route?.endpoints ?? []) this.#names.forget(host);
    if (route !== undefined) this.#names.forget(route.tlsName);
  }
}
