/**
 * Random tests that can be run again: every failure prints its seed, and `SEED=n` repeats it.
 *
 * @module
 */
import process from "node:process";
import fc from "fast-check";

/** The seed of this run. Tests that draw numbers of their own print it in their messages. */
export const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 0x7fffffff));

/** Checks a property. `RUNS=10` makes ten times as many cases. */
export function holds<T>(property: fc.IRawProperty<T, false>, runs = 200): void {
  fc.assert(property, { seed, numRuns: runs * Number(process.env.RUNS ?? 1) });
}

export { fc };
