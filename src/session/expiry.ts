/**
 * The end of a token.
 *
 * @module
 */
import type { Host } from "../host.ts";

/** Longer waits make a timer go off at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Runs when `expires` (milliseconds since 1970) has come; at once if it has. Answers how to call it off. */
export function atExpiry(host: Host, expires: number, run: () => void): () => void {
  const left = expires - Number(host.unixMicros() / 1000n);
  let stop = () => {};
  if (left <= 0) run();
  else {
    stop = host.after(Math.min(left, MAX_TIMER_MS), () => {
      stop = atExpiry(host, expires, run);
    });
  }
  return () => stop();
}
