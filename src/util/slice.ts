/** Long loops give the event loop its turn: `await slice.tick()` inside the loop yields after 8 ms of work. */
const budgetMs = 8;

export class Slice {
  #started = performance.now();

  /** True when this turn's budget is used up. */
  get spent(): boolean {
    return performance.now() - this.#started > budgetMs;
  }

  /** Returns at once while there is budget, else after a turn of the event loop. */
  async tick(): Promise<void> {
    if (!this.spent) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#started = performance.now();
  }
}

/** Runs work that says where it may pause to its end within this turn. */
export function runNow<T>(work: Generator<unknown, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** Runs it, giving the loop its turn where it may pause and the budget is used up. */
export async function runSliced<T>(work: Generator<unknown, T>, slice: Slice): Promise<T> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    await slice.tick();
  }
}
