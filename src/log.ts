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

/** Between two lines of one kind of warning. */
const WARN_EVERY_MS = 1_000;

/**
 * A warning that strangers can cause: one line a second at most, which says as `{count}` how often it
 * has been so far.
 */
export class RareWarning {
  #count = 0;
  #saidAt = -Infinity;

  /** `now` in milliseconds. */
  constructor(private readonly text: string, private readonly now: () => number) {}

  warn(properties: Readonly<Record<string, unknown>>): void {
    this.#count++;
    const now = this.now();
    if (now - this.#saidAt < WARN_EVERY_MS) return;
    this.#saidAt = now;
    log.warning(this.text, { ...properties, count: this.#count });
  }
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

/** Controls, what ends a line anywhere, what turns the direction of writing, and what shows nothing. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The same text in one line: a terminal does nothing but show it. */
export const printable = (text: string): string =>
  text.replace(
    UNPRINTABLE,
    (character) => character === "\n" ? "\\n" : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );

/**
 * One record as one line. Names of databases and streams come from anybody: whatever is in them, a
 * record stays one line, and a terminal does nothing but show it.
 */
export function logLine(record: LogRecord): string {
  return printable(text(record).replace(/\r?\n$/, "")) + "\n";
}
