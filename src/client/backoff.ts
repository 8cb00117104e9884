/**
 * How long to wait before the next attempt: twice as long each time, up to a limit, and never the
 * same for two clients, so that they do not all come back at once.
 *
 * @module
 */

export interface Backoff {
  /** First wait, in milliseconds. */
  readonly first: number;
  /** Longest wait, in milliseconds. */
  readonly most: number;
}

/** For who comes back soon. */
export const BACKOFF: Backoff = { first: 250, most: 30_000 };
/** For who would only meet the same again. */
export const LATER: Backoff = { first: 5_000, most: 300_000 };

/** Milliseconds before attempt `attempt` (0 is the first retry). `chance` is in [0, 1). */
export function delay(attempt: number, { first, most }: Backoff, chance: number): number {
  const full = Math.min(most, first * 2 ** attempt);
  return full / 2 + chance * full / 2;
}
