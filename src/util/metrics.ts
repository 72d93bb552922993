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
