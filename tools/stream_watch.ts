/**
 * Numbers about a stream as its messages come.
 *
 * @module
 */
import type { EcgMessage } from "../src/client/ecg/conversation.ts";
import { Flag, MessageType } from "../src/wire/ecg/codes.ts";
import { chunkOf, SignalError } from "../web/viewer/lead_samples.ts";
import { Trace } from "../web/viewer/trace.ts";
import { type Quantiles, spread } from "./stats.ts";

export interface Lap {
  readonly messages: number;
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  /** Milliseconds from the sender's timestamp to the arrival, by both clocks. V3 only. */
  readonly latency: Quantiles;
  /** Longest time between two messages, milliseconds. */
  readonly gap: number;
  /** Samples missing so far. */
  readonly lost: number;
  readonly alarms: number;
  /** What was wrong with the last message that made no sense. */
  readonly trouble: string | undefined;
}

const names = new Map(Object.entries(MessageType).map(([name, type]) => [type as number, name]));
interface Counts {
  messages: number;
  bytes: number;
  alarms: number;
  gap: number;
}

/** Latencies kept for the sum of all laps. */
const MAX_KEPT = 1_000_000;

export class StreamWatch {
  #latencies: number[] = [];
  readonly #all: number[] = [];
  #counts: Counts = { messages: 0, bytes: 0, alarms: 0, gap: 0 };
  readonly #total: Counts = { messages: 0, bytes: 0, alarms: 0, gap: 0 };
  #since = performance.now();
  readonly #began = performance.now();
  #before: number | undefined;
  #trace: Trace | undefined;
  #lost = 0;
  #trouble: string | undefined;

  typeName(type: number): string {
    return names.get(type) ?? `type ${type}`;
  }

  /** Takes a message; answers how late it came in milliseconds, if it says when it was sent. */
  take(message: EcgMessage, nowMs: number): number | undefined {
    const now = performance.now();
    const pause = this.#before === undefined ? 0 : now - this.#before;
    this.#before = now;
    const alarm = message.type === MessageType.ANOMALY_ALERT || message.flags & Flag.PRIORITY
      ? 1
      : 0;
    for (const counts of [this.#counts, this.#total]) {
      counts.messages++;
      counts.bytes += message.wireLength;
      counts.alarms += alarm;
      counts.gap = Math.max(counts.gap, pause);
    }
    if (message.type === MessageType.ECG_DATA) this.#samples(message);
    if (message.timestamp === null) return undefined;
    const late = nowMs - Number(message.timestamp) / 1000;
    this.#latencies.push(late);
    if (this.#all.length < MAX_KEPT) this.#all.push(late);
    return late;
  }

  /** Numbers since the last lap. */
  lap(): Lap {
    const lap = this.#numbers(this.#counts, this.#latencies, this.#since);
    this.#counts = { messages: 0, bytes: 0, alarms: 0, gap: 0 };
    this.#latencies = [];
    this.#since = performance.now();
    return lap;
  }

  total(): Lap {
    return this.#numbers(this.#total, this.#all, this.#began);
  }

  #samples(message: EcgMessage): void {
    try {
      const chunk = chunkOf(message);
      if (!this.#trace?.fits(chunk)) this.#trace = new Trace(chunk.rate, chunk.leads);
      const gaps = this.#trace.gaps.length;
      this.#trace.append(chunk, message.gap?.samples);
      for (const { from, to } of this.#trace.gaps.slice(gaps)) this.#lost += to - from;
    } catch (error) {
      if (!(error instanceof SignalError)) throw error;
      this.#trouble = error.message;
    }
  }

  #numbers(counts: Counts, latencies: readonly number[], since: number): Lap {
    const seconds = Math.max(0.001, (performance.now() - since) / 1000);
    const { messages, bytes, alarms, gap } = counts;
    return {
      messages,
      perSecond: messages / seconds,
      bytesPerSecond: bytes / seconds,
      latency: spread(latencies),
      gap,
      lost: this.#lost,
      alarms,
      trouble: this.#trouble,
    };
  }
}
