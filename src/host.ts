/**
 * Time and chance, as sessions see them. Tests bring their own.
 *
 * @module
 */
import type { Message } from "./link/link.ts";

export interface Host {
  /** Milliseconds on a clock that never runs back. */
  now(): number;
  /** Microseconds since 1970. */
  unixMicros(): bigint;
  /** Runs once, later. Answers how to call it off. */
  after(ms: number, run: () => void): () => void;
  /** Unpredictable bytes. */
  random(length: number): Message;
}

export const host: Host = {
  now: () => performance.now(),
  unixMicros: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
};
