/**
 * How a tool ends: by Ctrl-C, a terminal that is closed, or what a service manager sends, where the first
 * one asks it to come to its end and the second one ends it; or because its work is done.
 *
 * @module
 */
import process from "node:process";
import { setTimeout } from "node:timers";

/** How a shell sees a program that Ctrl-C has ended. */
const INTERRUPTED = 130;

/** Milliseconds that a farewell may take. */
const FAREWELL_MS = 1_000;

/** Aborts at the first SIGINT, SIGTERM or SIGHUP, or after so many seconds; 0 sets no time. */
export function interrupted(seconds = 0): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(INTERRUPTED);
      stop.abort();
    });
  }
  if (seconds > 0) setTimeout(() => stop.abort(), 1000 * seconds).unref();
  return stop.signal;
}

/** Ends with `code`, once a link that was closed has said so: a relay would take it for lost. */
export function leave(code = 0): void {
  process.exitCode = code;
  setTimeout(() => process.exit(code), FAREWELL_MS).unref();
}
