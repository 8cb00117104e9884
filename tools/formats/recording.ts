/**
 * A recording as the tools see it, whatever file it came from.
 *
 * @module
 */
import { WireError } from "../../src/wire/bytes.ts";

/** How stored numbers become physical ones: `(raw - baseline) / gain`. */
export interface LeadInfo {
  readonly name: string;
  readonly units: string;
  /** Stored steps for one unit. Never 0. */
  readonly gain: number;
  readonly baseline: number;
}

/** A beat, or something else that was noted at one sample. */
export interface Annotation {
  readonly sample: number;
  /** WFDB symbol of a beat (`N`, `V`, …), or a text. */
  readonly symbol: string;
}

export interface Recording {
  readonly name: string;
  /** Samples a second, of each lead. */
  readonly rate: number;
  readonly leads: readonly LeadInfo[];
  /** Stored numbers of each lead, equally many; NaN where a sample is missing. */
  readonly samples: readonly Float64Array[];
  readonly annotations: readonly Annotation[];
  /** When it begins, milliseconds since 1970, if the file says. */
  readonly startMs: number | undefined;
  /** What was left out and why, for people. */
  readonly notes: readonly string[];
}

export type FormatErrorCode =
  | "BAD_HEADER"
  | "BAD_NUMBER"
  | "UNSUPPORTED"
  | "TRUNCATED"
  | "CHECKSUM_MISMATCH"
  | "MISSING_FILE"
  | "UNREADABLE"
  | "NO_SIGNALS"
  | "NO_RATE"
  | "COLUMNS"
  | "TOO_MANY";

/** More leads than this in one file is no ECG. */
export const MAX_LEADS = 256;

/** A file that cannot be read. `offset` is a byte of it, a line where it is text, or 0 for all of it. */
export class FormatError extends WireError<FormatErrorCode> {
  constructor(code: FormatErrorCode, at: number, readonly detail: string) {
    super(code, at, detail);
  }
}

/** Refuses a file; `at` is the `offset` of the {@linkcode FormatError}. */
export function refuse(code: FormatErrorCode, at: number, detail: string): never {
  throw new FormatError(code, at, detail);
}

/** A number out of a header. Throws `BAD_NUMBER`. */
export function numberIn(text: string, at: number, what: string): number {
  const value = text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value)
    ? value
    : refuse("BAD_NUMBER", at, `${what}: "${text.slice(0, 40)}"`);
}

/** A whole number of at least `least`. Throws `BAD_NUMBER`. */
export function countIn(text: string, at: number, what: string, least = 0): number {
  const value = numberIn(text, at, what);
  return Number.isSafeInteger(value) && value >= least
    ? value
    : refuse("BAD_NUMBER", at, `${what}: ${value}`);
}

/** One value in its lead's units. */
export const physical = (raw: number, { gain, baseline }: LeadInfo): number =>
  (raw - baseline) / gain;
