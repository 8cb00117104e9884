/**
 * Time and chance, as everything that waits or draws sees them. Tests bring their own.
 *
 * @module
 */
import type { Message } from "./link.ts";

export interface Clock {
  /** Milliseconds on a clock that never runs back. */
  now(): number;
  /** Runs once, later. Answers how to call it off. */
  after(ms: number, run: () => void): () => void;
  /** Runs once, behind all that this turn of the loop brings: what many left then goes as one. */
  afterTurn(run: () => void): void;
  /** Unpredictable bytes. */
  random(length: number): Message;
}
