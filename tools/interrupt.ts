/**
 * Ctrl-C, and what a service manager sends: the first one asks a tool to come to its end, the second
 * one ends it.
 *
 * @module
 */
import process from "node:process";

/** How a shell sees a program that Ctrl-C has ended. */
const INTERRUPTED = 130;

/** Aborts at the first SIGINT or SIGTERM. */
export function interrupted(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(INTERRUPTED);
      stop.abort();
    });
  }
  return stop.signal;
}
