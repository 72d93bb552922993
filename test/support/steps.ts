/** Random steps of which random rooms are made (fast-check). */
import fc from 'fast-check';

export interface Step {
  /** Which of the newest events are the previous ones. */
  readonly prev: readonly number[];
  readonly actor: number;
  readonly target: number;
  readonly kind: number;
  readonly level: number;
  readonly ts: number;
}

/** Each number is at most what is given; there are four who act. */
export const stepOf = (most: Readonly<Record<'prev' | 'target' | 'kind', number>>): fc.Arbitrary<Step> =>
  fc.record({
    prev: fc.array(fc.nat(most.prev), { minLength: 1, maxLength: 3 }),
    actor: fc.nat(3),
    target: fc.nat(most.target),
    kind: fc.nat(most.kind),
    level: fc.constantFrom(0, 50, 50, 100),
    // Few values: ties and clocks that go wrong are the point.
    ts: fc.nat(5),
  });
