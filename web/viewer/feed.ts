/**
 * From the relay to the chart: messages of one stream, and what they mean.
 *
 * @module
 */
import { EcgClient } from "../../src/client/ecg/client.ts";
import type { EcgMessage } from "../../src/client/ecg/conversation.ts";
import { Flag, MessageType } from "../../src/wire/ecg/codes.ts";
import type { Chart } from "./chart.ts";
import { isMap, readChunk, SignalError } from "./signal.ts";
import { place, readAlarm, readBeats, readHeartRate } from "./marks.ts";
import type { Readings } from "./readings.ts";

/** What to watch. */
export interface Place {
  readonly stream: string;
  readonly token: string | undefined;
}

export class Feed {
  readonly #client: EcgClient;

  constructor(
    { stream, token }: Place,
    private readonly chart: Chart,
    private readonly readings: Readings,
  ) {
    const url = new URL("/", location.href);
    this.#client = EcgClient.open({ url, stream, ...(token === undefined ? {} : { token }) });
    this.#client.onStatus((status) => readings.status(status));
    void this.#watch();
  }

  /** So many samples were lost on the way to this page. */
  gap(samples: number): void {
    this.chart.trace?.gap(samples);
  }

  async #watch(): Promise<void> {
    try {
      for await (const message of await this.#client.watch()) this.#take(message);
    } catch (error) {
      this.readings.ended(error instanceof Error ? error.message : String(error));
    }
  }

  #take(message: EcgMessage): void {
    const now = Date.now();
    if (message.type === MessageType.ECG_DATA) this.#samples(message, now);
    if (message.type === MessageType.FEATURE_DATA && this.chart.trace) {
      for (const mark of readBeats(message.payload, this.chart.trace)) this.chart.mark(mark);
      const heart = readHeartRate(message.payload);
      if (heart !== undefined) this.readings.heart(heart);
    }
    const urgent = message.type === MessageType.ANOMALY_ALERT || message.flags & Flag.PRIORITY;
    if (urgent && message.type !== MessageType.ECG_DATA) this.#alarm(message, now);
  }

  #samples(message: EcgMessage, now: number): void {
    try {
      const chunk = readChunk(message.payload);
      this.chart.append(chunk);
      this.readings.samples(chunk, message.timestamp, now);
    } catch (error) {
      if (!(error instanceof SignalError)) throw error;
      this.readings.trouble(error.message);
    }
  }

  #alarm(message: EcgMessage, now: number): void {
    const { chart } = this;
    const sent = message.timestamp === null ? now : Number(message.timestamp / 1000n);
    const alarm = readAlarm(message.payload, sent);
    this.readings.alarm(alarm);
    if (!chart.trace) return;
    const at = isMap(message.payload) ? place(message.payload, chart.trace) : undefined;
    const sample = Math.min(at ?? chart.trace.at(sent) ?? Infinity, chart.trace.end - 1);
    chart.mark({ kind: "alarm", sample, text: "▲" });
  }
}
