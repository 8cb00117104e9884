/**
 * The log. Silent until `main.ts` says where it goes; no token, key or payload is ever written to it.
 *
 * @module
 */
import { configure, getConsoleSink, getLogger, type LogLevel } from "@logtape/logtape";

export const log = getLogger("blaze-relay");

export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;

/** Sends everything from `level` on to the console. */
export async function logToConsole(level: LogLevel): Promise<void> {
  await configure({
    sinks: { console: getConsoleSink() },
    loggers: [
      { category: "blaze-relay", sinks: ["console"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["console"], lowestLevel: "warning" },
    ],
    reset: true,
  });
}
