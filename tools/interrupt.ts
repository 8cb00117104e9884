/**
 * Ctrl-C, a terminal that is closed, and what a service manager sends: the first one asks a tool to
 * come to its end, the second one ends it.
 *
 * @module
 */
import process from "node:process";

/** How a shell sees a program that Ctrl-C has ended. */
const INTERRUPTED = 130;

/** Aborts at the first SIGINT, SIGTERM or SIGHUP, or after so many seconds; 0 sets no time. */
export function interrupted(seconds = 0): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(INTERRUPTED);
      stop.abort();
    });
  }
  if (seconds > 0) setTimeout(() => stop.abort(), 1000 * seconds);
  return stop.signal;
}
