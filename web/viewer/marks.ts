/**
 * What other programs say about the signal: beats (FEATURE_DATA) and alarms (ANOMALY_ALERT, or any
 * message with PRIORITY).
 *
 * @module
 */
import type { Payload } from "../../src/wire/ecg/payload.ts";
import { get, isMap, number, text, unixMs } from "./lead_samples.ts";
import type { Trace } from "./trace.ts";

/** Something at one place of the trace. */
export interface Mark {
  readonly kind: "beat" | "alarm";
  /** Number of the sample, as the trace counts. */
  readonly sample: number;
  readonly text: string;
}

export interface Alarm {
  readonly title: string;
  readonly detail: string;
  /** When it happened, or when it came if nothing says; milliseconds since 1970. */
  readonly ms: number;
}

/** Beats in one message. */
const MAX_BEATS = 1000;
/** Marks that are kept. */
const MAX_MARKS = 10_000;

/** Beats of a FEATURE_DATA payload: `{beats: [{sample | timestamp, symbol}]}`. */
export function readBeats(payload: Payload, trace: Trace): Mark[] {
  const beats = isMap(payload) ? get(payload, "beats") : undefined;
  if (!Array.isArray(beats)) return [];
  return beats.slice(0, MAX_BEATS).flatMap((beat) => {
    const sample = place(isMap(beat) ? beat : { sample: beat }, trace);
    const symbol = (isMap(beat) && text(get(beat, "symbol"))) || "•";
    return sample === undefined
      ? []
      : [{ kind: "beat" as const, sample, text: symbol.slice(0, 4) }];
  });
}

/** Heart rate of a FEATURE_DATA payload, beats a minute. */
export function readHeartRate(payload: Payload): number | undefined {
  const rate = isMap(payload) ? number(get(payload, "heart_rate")) : undefined;
  return rate !== undefined && rate > 0 && rate < 1000 ? rate : undefined;
}

/** An alarm in words, whatever its sender calls the fields. */
export function readAlarm(payload: Payload, nowMs: number): Alarm {
  if (!isMap(payload)) return { title: "Alarm", detail: "", ms: nowMs };
  const word = (...names: string[]) =>
    names.map((name) => text(get(payload, name))).find((one) => one !== undefined);
  const title = word("anomaly", "anomaly_type", "alarm", "type", "label") ?? "Alarm";
  const detail = [word("message", "description"), word("severity", "level")]
    .filter((one) => one !== undefined).join(" · ");
  return { title, detail, ms: unixMs(get(payload, "timestamp")) ?? nowMs };
}

/** Where on the trace something is: by its sample number, else by its time. */
export function place(
  fields: Readonly<Record<string, Payload>>,
  trace: Trace,
): number | undefined {
  const sample = number(get(fields, "sample"));
  if (sample !== undefined) return trace.numbered(sample);
  const ms = unixMs(get(fields, "timestamp"));
  return ms === undefined ? undefined : trace.at(ms);
}

/** Marks in the order of their samples. */
export class Marks {
  readonly #marks: Mark[] = [];

  add(mark: Mark): void {
    let at = this.#marks.length;
    while (at > 0 && this.#marks[at - 1]!.sample > mark.sample) at--;
    this.#marks.splice(at, 0, mark);
    if (this.#marks.length > MAX_MARKS) this.#marks.shift();
  }

  /** Calls `visit` with every mark in `from` to `to`, newest first. */
  within(from: number, to: number, visit: (mark: Mark) => void): void {
    for (let i = this.#marks.length - 1; i >= 0; i--) {
      const mark = this.#marks[i]!;
      if (mark.sample < from) return;
      if (mark.sample <= to) visit(mark);
    }
  }

  clear(): void {
    this.#marks.length = 0;
  }
}
