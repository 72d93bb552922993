/** What a run prints: rows of figures, as a table of medians and as JSON. */

export type Unit = 'ms' | '1/s' | 'MB' | 'KB' | 'B' | 'x' | 'exponent';

export interface Row {
  readonly name: string;
  readonly unit: Unit;
  readonly own: readonly number[];
  readonly peer: readonly number[];
  /** Pair by pair: how many times better this server is. */
  readonly ratios: readonly number[];
}

/** A row of this server alone. */
export const ownRow = (name: string, unit: Unit, own: readonly number[]): Row => ({
  ...{ name, unit, own },
  peer: [],
  ratios: [],
});

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const [low = 0, high = 0] = [sorted[middle - (sorted.length % 2 === 0 ? 1 : 0)], sorted[middle]];
  return (low + high) / 2;
};

/** The value that `share` of all lie below. */
export const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

/** Slope of the line through (log size, log cost), by least squares: cost grows as size to this power. */
export function exponent(points: readonly (readonly [size: number, cost: number])[]): number {
  const logs = points.map(([size, cost]) => [Math.log(size), Math.log(cost)] as const);
  const mean = (index: 0 | 1): number => logs.reduce((sum, point) => sum + point[index], 0) / logs.length;
  const [atX, atY] = [mean(0), mean(1)];
  const over = logs.reduce((sum, [x, y]) => sum + (x - atX) * (y - atY), 0);
  return over / logs.reduce((sum, [x]) => sum + (x - atX) ** 2, 0);
}

const shown = (value: number): string => {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
};

const withUnit = (value: number, unit: Unit): string =>
  unit === 'exponent' ? `size^${shown(value)}` : unit === 'x' ? `${shown(value)}x` : `${shown(value)} ${unit}`;

export function line({ name, unit, own, peer, ratios }: Row): string {
  const range = `(${shown(Math.min(...own))}–${shown(Math.max(...own))})`;
  const cells = [name, own.length > 0 ? withUnit(median(own), unit) : '–'];
  if (peer.length > 0) cells.push(withUnit(median(peer), unit));
  else if (own.length > 1) cells[1] += ` ${range}`;
  if (ratios.length > 0)
    cells.push(`${shown(median(ratios))}x (${shown(Math.min(...ratios))}–${shown(Math.max(...ratios))})`);
  return `| ${cells.join(' | ')} |`;
}

/** The table; rows of this server alone leave the peer's columns out. */
export function table(rows: readonly Row[]): string {
  const paired = rows.some(({ peer }) => peer.length > 0);
  const head = paired
    ? ['| what | neurite | peer | ratio (range) |', '|---|---|---|---|']
    : ['| what | neurite |', '|---|---|'];
  return [...head, ...rows.map(line), ''].join('\n');
}
