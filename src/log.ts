/**
 * The log. Silent until `main.ts` says where it goes; no token, key or payload is ever written to it.
 *
 * @module
 */
import {
  configure,
  getConsoleSink,
  getLogger,
  getTextFormatter,
  type LogLevel,
} from "@logtape/logtape";

export const log = getLogger("blaze-relay");

export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;

/** Sends everything from `level` on to the console. */
export async function logToConsole(level: LogLevel): Promise<void> {
  await configure({
    sinks: { console: getConsoleSink({ formatter: getTextFormatter({ value }) }) },
    loggers: [
      { category: "blaze-relay", sinks: ["console"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["console"], lowestLevel: "warning" },
    ],
    reset: true,
  });
}

/** Text as it is: the runtimes differ in how they would quote it. */
const value = (one: unknown): string => typeof one === "string" ? one : JSON.stringify(one) ?? "-";
