/**
 * Preloaded into a server under measurement (`--import`): on SIGUSR2 it writes a line with the delays of its event loop
 * since the last one, in ms, to standard error, and begins anew.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const resolution = 10;
const histogram = monitorEventLoopDelay({ resolution });
histogram.enable();
process.on('SIGUSR2', () => {
  const ms = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolution);
  const delays = { p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max) };
  process.stderr.write(`loop ${JSON.stringify({ ...delays, samples: histogram.count })}\n`);
  histogram.reset();
});
