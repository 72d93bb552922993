/**
 * Third-party networks (A-S API v1.19 §Third-party networks): look-ups are passed on to the services that bridge the
 * network, and their answers are put together.
 */
import {
  asArray,
  asObject,
  asString,
  isJsonObject,
  parseJson,
  type JsonObject,
  type JsonValue,
} from '../matrix/json.ts';
import type { Clock } from '../util/clock.ts';
import { LruCache } from '../util/lru.ts';
import { ServiceSilent, type ServiceClient } from './client.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';

export type LookupKind = 'location' | 'user';

/** ms */
const answerTimeout = 10_000;
/** How long the description of a network is kept, in ms. */
const metadataKept = 3_600_000;

export class Networks {
  readonly #registry: ServiceRegistry;
  readonly #client: ServiceClient;
  readonly #metadata: LruCache<string, JsonObject>;

  constructor(registry: ServiceRegistry, client: ServiceClient, clock: Clock) {
    this.#registry = registry;
    this.#client = client;
    const perf = { now: () => clock.now() };
    this.#metadata = new LruCache({ max: 1000, ttl: metadataKept, ttlResolution: 0, perf });
  }

  /** Every network that some service bridges, by its name. */
  async protocols(): Promise<JsonObject> {
    const names = new Set(this.#registry.reached.flatMap(({ protocols }) => protocols));
    const described = await Promise.all(
      [...names]
        .sort()
        .map(async (name): Promise<[string, JsonObject | undefined]> => [name, await this.protocol(name)]),
    );
    return Object.fromEntries(described.flatMap(([name, found]) => (found === undefined ? [] : [[name, found]])));
  }

  /** One network, with the instances of all services that bridge it; undefined when none describes it. */
  async protocol(name: string): Promise<JsonObject | undefined> {
    const all = await Promise.all(this.#bridging(name).map((service) => this.#describe(service, name)));
    const found = all.filter((description) => description !== undefined);
    const [first] = found;
    if (first === undefined) return undefined;
    return { ...first, instances: found.flatMap(({ instances }) => (Array.isArray(instances) ? instances : [])) };
  }

  /** What the services of a network find for the fields of the query. */
  async find(kind: LookupKind, protocol: string, query: URLSearchParams): Promise<JsonValue[]> {
    return this.#collect(this.#bridging(protocol), `/thirdparty/${kind}/${encodeURIComponent(protocol)}`, query);
  }

  /** What any service says of an alias (`alias`) or a user (`userid`). */
  async findReverse(kind: LookupKind, query: URLSearchParams): Promise<JsonValue[]> {
    return this.#collect(this.#registry.reached, `/thirdparty/${kind}`, query);
  }

  #bridging(protocol: string): Registration[] {
    return this.#registry.reached.filter(({ protocols }) => protocols.includes(protocol));
  }

  async #describe(service: Registration, protocol: string): Promise<JsonObject | undefined> {
    const key = `${service.id} ${protocol}`;
    const known = this.#metadata.get(key);
    if (known !== undefined) return known;
    const answer = asObject(await this.#ask(service, `/thirdparty/protocol/${encodeURIComponent(protocol)}`));
    if (answer === undefined || !Array.isArray(answer.instances)) return undefined;
    const instances = answer.instances.filter(isJsonObject).map((instance) => {
      const network = asString(instance.network_id);
      return network === undefined ? instance : { ...instance, instance_id: instanceId(service.id, network) };
    });
    const described = { ...answer, instances };
    this.#metadata.set(key, described);
    return described;
  }

  async #collect(services: readonly Registration[], path: string, query: URLSearchParams): Promise<JsonValue[]> {
    const answers = await Promise.all(services.map((service) => this.#ask(service, path, query)));
    return answers.flatMap((answer) => (Array.isArray(answer) ? (asArray(answer) as JsonValue[]) : []));
  }

  /** The answer's JSON; undefined when there is none: a service that is away hides nothing of the others. */
  async #ask(service: Registration, path: string, query?: URLSearchParams): Promise<JsonValue | undefined> {
    const legacyPath = `/_matrix/app/unstable${path}`;
    const wish = { method: 'GET', path, legacyPath, timeout: answerTimeout, ...(query && { query }) } as const;
    try {
      const { status, text } = await this.#client.ask(service, wish);
      return status === 200 ? parseJson(text) : undefined;
    } catch (error) {
      if (error instanceof ServiceSilent) return undefined;
      throw error;
    }
  }
}

/** `third_party_instance_id` of a service's network. */
export const instanceId = (service: string, network: string): string => `${service}|${network}`;
