/**
 * What modules count, as plain numbers that cost nothing until somebody asks. A module offers `Measure`s; the metrics
 * endpoint reads them when it is scraped.
 */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Measure {
  /** Prometheus name, with its unit: `neurite_commits_total`. */
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  /** Label names, when `read` gives samples. */
  readonly labels?: readonly string[];
  readonly read: () => number | readonly Sample[];
}

/** How full the caches of a module are, by name. `sizes` is asked when somebody looks. */
export const cacheMeasure = (
  module: string,
  unit: 'entries' | 'bytes',
  sizes: () => Record<string, number>,
): Measure => ({
  name: `neurite_${module}_cache_${unit}`,
  help: `Size of caches in ${unit}`,
  kind: 'gauge',
  labels: ['cache'],
  read: () => Object.entries(sizes()).map(([cache, value]) => ({ labels: { cache }, value })),
});
