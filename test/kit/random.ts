/**
 * Random tests. Without more, every run draws the same cases: a test that was green stays green.
 * `deno task fuzz` draws others, and more of them; it prints the seed, and `SEED=n RUNS=m` in front of
 * `deno task test test/some.test.ts` repeats what it found. What was found becomes an example.
 *
 * @module
 */
import process from "node:process";
import fc from "fast-check";
import { generator } from "../../tools/generator.ts";

/** Where all randomness of this run begins. Tests that draw numbers of their own say it in messages. */
export const seed = whole("SEED", 1);

/** How many times as many cases as usual. */
export const times = whole("RUNS", 1);

/** Checks a property, synchronous or not: the cases that were found first, then random ones. */
export function holds<T>(
  property: fc.IAsyncProperty<T>,
  runs?: number,
  examples?: T[],
): Promise<void>;
export function holds<T>(property: fc.IProperty<T>, runs?: number, examples?: T[]): void;
export function holds<T>(
  property: fc.IRawProperty<T>,
  runs = 200,
  examples: T[] = [],
): Promise<void> | void {
  return fc.assert(property, { seed, numRuns: runs * times + examples.length, examples });
}

/** Draws whole numbers from 0 up to, never reaching, a limit. */
export function dice(from = seed): (below: number) => number {
  const next = generator(from);
  return (below) => Math.floor(next() * below);
}

function whole(name: string, otherwise: number): number {
  const value = Number(process.env[name] || otherwise);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`${name} is a whole number from 1 on`);
}

export { fc };
