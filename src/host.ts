/**
 * Time and chance of the machine itself.
 *
 * @module
 */
import type { Clock } from "./link/clock.ts";

export interface Host extends Clock {
  /** Microseconds since 1970, by the system's clock, which may be set. */
  unixMicros(): bigint;
}

/** More than that between the two clocks, in milliseconds, and one of them was set or has slept. */
const APART_MS = 20;
/** Time of day when `performance.now()` was 0. */
let origin: number = performance.timeOrigin;

/** The time of day, as finely as `performance.now()` tells it. */
function unixMicros(): bigint {
  const now = performance.now();
  const day = Date.now();
  if (Math.abs(day - origin - now) > APART_MS) origin = day - now;
  return BigInt(Math.round((origin + now) * 1000));
}

let turn: (() => void)[] = [];

/** The end of this turn, where the platform knows it; browsers know the end of a task's step. */
const { setImmediate: endOfTurn = queueMicrotask } = globalThis as {
  setImmediate?: (run: () => void) => unknown;
};

export const host: Host = {
  now: () => performance.now(),
  unixMicros,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  // One call into the platform, however many want it.
  afterTurn(run) {
    if (turn.push(run) > 1) return;
    endOfTurn(() => {
      const due = turn;
      turn = [];
      for (const one of due) attempt(one);
    });
  },
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
};

/** What one throws is the platform's to report, and keeps none of the others back. */
function attempt(run: () => void): void {
  try {
    run();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
