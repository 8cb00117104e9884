/**
 * From the relay to the chart: messages of one stream, and what they mean.
 *
 * @module
 */
import { Close } from "../../src/close.ts";
import { ConnectionClosed } from "../../src/client/connection.ts";
import { EcgClient } from "../../src/client/ecg/ecg_client.ts";
import type { EcgMessage } from "../../src/client/ecg/conversation.ts";
import { Flag, MessageType } from "../../src/wire/ecg/codes.ts";
import type { Chart } from "./chart.ts";
import { chunkOf, isMap, SignalError } from "./lead_samples.ts";
import { place, readAlarm, readBeats, readHeartRate } from "./marks.ts";
import type { Readings } from "./readings.ts";

/** What to watch. */
export interface Place {
  readonly stream: string;
  readonly token: string | undefined;
}

/** What to show at once on joining; relays keep about that much. */
const PAST_SECONDS = 10;
const MAX_EARLY = 100;
/** How often the relay's clock is asked for. */
const CLOCK_EVERY_MS = 10_000;

export class Feed {
  readonly #client: EcgClient;
  /** Samples lost on the way to this page, before the next ones. */
  #lost = 0;
  /** Alarms that overtook the first samples. */
  readonly #early: EcgMessage[] = [];

  /**
   * `refused`: the relay does not take the token, or wants one. Throws `BAD_NAME` for what no stream can
   * be called.
   */
  constructor(
    { stream, token }: Place,
    private readonly chart: Chart,
    private readonly readings: Readings,
    private readonly refused: () => void,
  ) {
    const url = new URL("/", location.href);
    this.#client = EcgClient.open({ url, stream, ...(token === undefined ? {} : { token }) });
    this.#client.onStatus((status) => readings.status(status));
    void this.#watch();
    setInterval(() => void this.#setClock(), CLOCK_EVERY_MS);
    void this.#setClock();
  }

  async #watch(): Promise<void> {
    try {
      const messages = await this.#client.watch({ lastSeconds: PAST_SECONDS });
      for await (const message of messages) this.#take(message);
    } catch (error) {
      if (error instanceof ConnectionClosed && error.code === Close.unauthorized.code) {
        return this.refused();
      }
      this.readings.ended(error instanceof Error ? error.message : String(error));
    }
  }

  async #setClock(): Promise<void> {
    const clock = await this.#client.clock().catch(() => undefined);
    if (clock) this.readings.clock(Number(clock.offset) / 1000, Number(clock.error) / 1000);
  }

  #take(message: EcgMessage): void {
    const now = Date.now();
    this.#lost += message.gap?.samples ?? 0;
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
      const chunk = chunkOf(message);
      this.chart.append(chunk, this.#lost);
      this.#lost = 0;
      for (const early of this.#early.splice(0)) this.#markAlarm(early, now);
      this.readings.samples(chunk, message.timestamp, now);
    } catch (error) {
      if (!(error instanceof SignalError)) throw error;
      this.readings.trouble(error.message);
    }
  }

  #alarm(message: EcgMessage, now: number): void {
    this.readings.alarm(readAlarm(message.payload, sentMs(message, now)));
    if (this.chart.trace) this.#markAlarm(message, now);
    else if (this.#early.length < MAX_EARLY) this.#early.push(message);
  }

  #markAlarm(message: EcgMessage, now: number): void {
    const { payload } = message;
    const trace = this.chart.trace!;
    // It may be ahead of its sample: alarms overtake.
    const at = (isMap(payload) ? place(payload, trace) : undefined) ??
      trace.at(sentMs(message, now));
    this.chart.mark({ kind: "alarm", sample: at ?? trace.end - 1, text: "▲" });
  }
}

const sentMs = ({ timestamp }: EcgMessage, now: number): number =>
  timestamp === null ? now : Number(timestamp / 1000n);
