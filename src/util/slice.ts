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
