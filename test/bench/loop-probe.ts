/**
 * Preloaded into a server under measurement (`--import`): on SIGUSR2 it writes a line with the delays of its event loop
 * since the last one, in ms, to standard error, and begins anew. Delays count what other work on the machine takes away;
 * beside them stands the processor time that the loop itself has used between two looks at it.
 */
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

const resolution = 10;
const histogram = monitorEventLoopDelay({ resolution });
histogram.enable();
const busy = createHistogram();
const used = (): number => {
  const { user, system } = process.threadCpuUsage();
  return user + system;
};
let before = used();
setInterval(() => {
  const now = used();
  // A histogram has no place for 0.
  busy.record(Math.max(1, Math.round(now - before)));
  before = now;
}, resolution).unref();
process.on('SIGUSR2', () => {
  const ms = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolution);
  const delays = { p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max) };
  const own = { busyP99: busy.percentile(99) / 1000, busyMax: busy.max / 1000 };
  process.stderr.write(`loop ${JSON.stringify({ ...delays, ...own, samples: histogram.count })}\n`);
  histogram.reset();
  busy.reset();
});
