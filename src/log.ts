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
  type LogRecord,
} from "@logtape/logtape";

export const log = getLogger("blaze-relay");

export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;

/** Sends everything from `level` on to the console. */
export async function logToConsole(level: LogLevel): Promise<void> {
  await configure({
    sinks: { console: getConsoleSink({ formatter: logLine }) },
    loggers: [
      { category: "blaze-relay", sinks: ["console"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["console"], lowestLevel: "warning" },
    ],
    reset: true,
  });
}

/** Text as it is: the runtimes differ in how they would quote it. Never throws. */
function value(one: unknown): string {
  if (typeof one === "string") return one;
  if (one instanceof Error) return one.stack ?? String(one);
  try {
    return JSON.stringify(one) ?? "-";
  } catch {
    return typeof one;
  }
}

const text = getTextFormatter({ value });

/** Controls, what ends a line anywhere, and what turns the direction of writing. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

const escaped = (character: string): string =>
  character === "\n" ? "\\n" : `\\u{${character.codePointAt(0)!.toString(16)}}`;

/**
 * One record as one line. Names of databases and streams come from anybody: whatever is in them, a
 * record stays one line, and a terminal does nothing but show it.
 */
export function logLine(record: LogRecord): string {
  return text(record).replace(/\r?\n$/, "").replace(UNPRINTABLE, escaped) + "\n";
}
