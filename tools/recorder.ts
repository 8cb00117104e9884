/**
 * Collects the messages of a stream into a recording.
 *
 * @module
 */
import type { EcgMessage } from "../src/client/ecg/conversation.ts";
import type { Payload } from "../src/wire/ecg/payload.ts";
import { MessageType } from "../src/wire/ecg/codes.ts";
import { place, readAlarm, readBeats } from "../web/viewer/marks.ts";
import { chunkOf, isMap, SignalError } from "../web/viewer/lead_samples.ts";
import { Trace } from "../web/viewer/trace.ts";
import type { Annotation, Recording } from "./formats/recording.ts";

/** Steps for one millivolt: 0.5 µV, below what any ECG resolves, and ±16 mV in 16 bits. */
const GAIN = 2000;
/** A day of 12 leads at 500 Hz is 518 million samples; memory ends before. */
const MAX_SAMPLES = 64_000_000;
const MAX_ALARMS = 10_000;

export class Recorder {
  readonly #rows: number[][] = [];
  readonly #annotations: Annotation[] = [];
  readonly #alarms: { payload: Payload; ms: number }[] = [];
  /** Finds gaps; keeps the last of the signal only. */
  #trace: Trace | undefined;
  #startMs: number | undefined;
  missing = 0;

  constructor(private readonly name: string) {}

  get seconds(): number {
    return this.#trace ? this.#trace.end / this.#trace.rate : 0;
  }

  /** No more fits into memory. */
  get full(): boolean {
    return (this.#rows[0]?.length ?? 0) * this.#rows.length >= MAX_SAMPLES;
  }

  /** Takes one message; answers what is wrong with it. */
  take(message: EcgMessage, nowMs: number): string | undefined {
    const { type, payload } = message;
    if (type === MessageType.ECG_DATA) return this.#samples(message, nowMs);
    if (type === MessageType.ANOMALY_ALERT) {
      // Alarms overtake samples: where it belongs is known later.
      this.#alarms.push({ payload, ms: nowMs });
      if (this.#alarms.length > MAX_ALARMS) this.#alarms.shift();
    } else if (type === MessageType.FEATURE_DATA && this.#trace) {
      for (const { sample, text } of readBeats(payload, this.#trace)) {
        this.#annotations.push({ sample: Math.round(sample), symbol: text });
      }
    }
    return undefined;
  }

  #samples(message: EcgMessage, nowMs: number): string | undefined {
    let chunk;
    try {
      chunk = chunkOf(message);
    } catch (error) {
      if (error instanceof SignalError) return error.message;
      throw error;
    }
    this.#trace ??= new Trace(chunk.rate, chunk.leads);
    const trace = this.#trace;
    if (!trace.fits(chunk)) return "the stream changed its leads or rate; this is left out";
    this.#startMs ??= chunk.startMs ?? nowMs - 1000 * chunk.samples[0]!.length / chunk.rate;
    trace.append(chunk, message.gap?.samples);
    chunk.samples.forEach((samples, lead) => {
      const row = this.#rows[lead] ??= [];
      const lost = trace.end - samples.length - row.length;
      for (let i = 0; i < lost; i++) row.push(NaN);
      if (lead === 0) this.missing += lost;
      for (const value of samples) row.push(value);
    });
    return undefined;
  }

  #placed(trace: Trace): Annotation[] {
    return this.#alarms.map(({ payload, ms: came }) => {
      const { title, detail, ms } = readAlarm(payload, came);
      const sample = (isMap(payload) ? place(payload, trace) : undefined) ?? trace.at(ms) ??
        trace.end - 1;
      return { sample: Math.round(sample), symbol: `${title} ${detail}`.trim() };
    });
  }

  /** What came, at most so many seconds of it, as numbers of 16 bits. */
  finish(seconds: number): Recording {
    const trace = this.#trace!;
    const { rate, leads } = trace;
    const length = Math.min(this.#rows[0]!.length, Math.round(seconds * rate));
    return {
      name: this.name,
      rate,
      leads: leads.map(({ name, units }) => ({ name, units, gain: GAIN, baseline: 0 })),
      samples: this.#rows.map((row) =>
        Float64Array.from(row.slice(0, length), (value) => Math.round(value * GAIN))
      ),
      annotations: [...this.#annotations, ...this.#placed(trace)].filter(({ sample }) =>
        sample >= 0 && sample < length
      ),
      startMs: this.#startMs,
      notes: [],
    };
  }
}
