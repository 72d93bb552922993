/**
 * Prometheus metrics. The library is loaded only when a listener serves them; until then requests are not counted and
 * nothing is paid.
 */
import type { Histogram, Registry } from 'prom-client';
import type { LoopWatch } from '../util/loop-watch.ts';
import type { Measure } from '../util/metrics.ts';
import type { RequestObserver } from './kernel.ts';
import { Reply, route, type Route } from './route.ts';

interface Loaded {
  readonly registry: Registry;
  readonly requests: Histogram<'method' | 'route' | 'status'>;
}

export class Metrics implements RequestObserver {
  readonly #loop: LoopWatch;
  readonly #measures: Measure[] = [];
  #loaded: Loaded | undefined;

  constructor(loop: LoopWatch) {
    this.#loop = loop;
    this.add(loop.measures);
  }

  /** Adds what a module counts; to be called before `load`. */
  add(measures: readonly Measure[]): void {
    this.#measures.push(...measures);
  }

  request(method: string, path: string, status: number, ms: number): void {
    this.#loaded?.requests.observe({ method, route: path, status: String(status) }, ms / 1000);
  }

  busy(path: string, ms: number): void {
    this.#loop.busy(path, ms);
  }

  /** Loads the library and begins to count requests. */
  async load(): Promise<void> {
    const { Registry, Histogram, Gauge, Counter, collectDefaultMetrics } = await import('prom-client');
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    for (const measure of this.#measures) {
      const settings = {
        name: measure.name,
        help: measure.help,
        labelNames: [...(measure.labels ?? [])],
        registers: [registry],
      };
      if (measure.kind === 'gauge') {
        const gauge = new Gauge({
          ...settings,
          collect: () => eachSample(measure, (labels, value) => gauge.set(labels, value)),
        });
      } else {
        const counter = new Counter({
          ...settings,
          collect: () => {
            counter.reset();
            eachSample(measure, (labels, value) => counter.inc(labels, value));
          },
        });
      }
    }
    const requests = new Histogram({
      name: 'neurite_http_requests_seconds',
      help: 'Answered requests by route and status',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30],
      registers: [registry],
    });
    this.#loaded = { registry, requests };
  }

  /** `GET /metrics`, on listeners that serve metrics. */
  get route(): Route {
    return route({
      method: 'GET',
      path: '/metrics',
      resources: ['metrics'],
      auth: 'none',
      rate: 'none',
      handle: async () => {
        if (this.#loaded === undefined) await this.load();
        const text = (await this.#loaded?.registry.metrics()) ?? '';
        return new Reply(200, Buffer.from(text), { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' });
      },
    });
  }
}

function eachSample(measure: Measure, take: (labels: Record<string, string>, value: number) => void): void {
  const read = measure.read();
  if (typeof read === 'number') take({}, read);
  else for (const { labels, value } of read) take({ ...labels }, value);
}
