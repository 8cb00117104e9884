/**
 * The numbers and words around the paper: connection, latency, drift, losses, alarms.
 *
 * @module
 */
import type { EcgStatus } from "../../src/client/ecg/ecg_client.ts";
import type { Chart } from "./chart.ts";
import { element, write } from "../common/dom.ts";
import type { Alarm } from "./marks.ts";
import type { SampleChunk } from "./lead_samples.ts";

/** Numbers change no faster than somebody can read them. */
const REFRESH_MS = 250;
/** Silence after which the stream counts as stalled. */
const SILENT_MS = 3_000;
/** Jitter of arrival is taken out of the drift by looking at the earliest arrival in this time. */
const DRIFT_WINDOW_MS = 5_000;

export class Readings {
  #online = false;
  #shownAt = -Infinity;
  #heardAt: number | undefined;
  #latencyMs: number | undefined;
  /** The relay's clock minus ours, and how wrong that may be; milliseconds. */
  #clock = { offset: 0, error: NaN };
  /** Since the first message: when it came, and how many samples have come. */
  #first: { ms: number; sample: number } | undefined;
  #window: { since: number; least: number } | undefined;
  /** How late the first window was: only the change since then is drift. */
  #usual: number | undefined;
  #driftMs: number | undefined;
  #heart: number | undefined;
  #alarms: Alarm[] = [];

  constructor(private readonly chart: Chart) {
    element("acknowledge").addEventListener("click", () => this.acknowledge());
    addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() === "a" && !event.ctrlKey && !event.metaKey) this.acknowledge();
    });
  }

  status(status: EcgStatus): void {
    if (status.kind === "online" || status.kind === "offline") {
      this.#online = status.kind === "online";
    }
    if (status.kind === "online") this.#state("waiting", "");
    if (status.kind === "offline") {
      this.#state(`offline, again in ${Math.ceil(status.retryMs / 1000)} s`, "bad");
    }
    if (status.kind === "fault") this.trouble(status.message);
  }

  /** A chunk came, sent at `timestamp` (microseconds since 1970, V3 only). */
  samples(chunk: SampleChunk, timestamp: bigint | null, now: number): void {
    element("empty").hidden = true;
    this.#heardAt = now;
    if (timestamp !== null) this.#latencyMs = now + this.#clock.offset - Number(timestamp) / 1000;
    const trace = this.chart.trace!;
    if (!this.#first || trace.end <= this.#first.sample) {
      this.#first = { ms: now, sample: trace.end };
      this.#window = this.#usual = this.#driftMs = undefined;
      return;
    }
    // How much later than its samples say this message came; waiting in queues only adds to it.
    const late = now - this.#first.ms - 1000 * (trace.end - this.#first.sample) / chunk.rate;
    this.#window ??= { since: now, least: late };
    this.#window.least = Math.min(this.#window.least, late);
    if (now - this.#window.since < DRIFT_WINDOW_MS) return;
    this.#usual ??= this.#window.least;
    this.#driftMs = this.#usual - this.#window.least;
    this.#window = undefined;
  }

  /** Latencies are told by the relay's clock, which senders are closer to than to this device. */
  clock(offset: number, error: number): void {
    this.#clock = { offset, error };
    element("latency").title = `this device's clock is ${signed(-offset)} ± ${
      error.toFixed(1)
    } ms against the relay's`;
  }

  heart(rate: number): void {
    this.#heart = rate;
  }

  alarm(alarm: Alarm): void {
    this.#alarms.push(alarm);
    const more = this.#alarms.length > 1 ? ` (${this.#alarms.length} alarms)` : "";
    write(element("alarm-title"), alarm.title + more);
    write(element("alarm-detail"), alarm.detail);
    write(element("alarm-time"), clock(alarm.ms));
    element("alarm").hidden = false;
  }

  acknowledge(): void {
    this.#alarms = [];
    element("alarm").hidden = true;
  }

  /** Something is wrong with what the stream sends. */
  trouble(message: string): void {
    const empty = element("empty");
    write(empty, message);
    empty.hidden = this.chart.trace !== undefined;
    element("state").title = message;
  }

  /** There will be no more. */
  ended(message: string): void {
    this.#online = false;
    this.#heardAt = undefined;
    this.#state("ended", "bad");
    this.trouble(message);
  }

  /** Called once a frame; writes a few times a second. */
  frame(now: number): void {
    if (now - this.#shownAt < REFRESH_MS) return;
    this.#shownAt = now;
    const { trace } = this.chart;
    if (this.#online && this.#heardAt !== undefined) {
      const silent = Date.now() - this.#heardAt;
      if (silent < SILENT_MS) this.#state("live", "live");
      else this.#state(`no signal for ${Math.round(silent / 1000)} s`, "bad");
    }
    write(element("heart"), this.#heart === undefined ? "–" : `${Math.round(this.#heart)} /min`);
    write(
      element("latency"),
      this.#latencyMs === undefined ? "–" : `${Math.round(this.#latencyMs)} ms`,
    );
    write(element("drift"), this.#driftMs === undefined ? "–" : signed(this.#driftMs));
    if (!trace) return;
    const behind = 1000 * (trace.end - this.chart.shown) / trace.rate;
    write(element("behind"), behind < 10_000 ? `${10 * Math.round(behind / 10)} ms` : "scrolled");
    const lost = trace.gaps.reduce((sum, { from, to }) => sum + to - from, 0);
    write(element("lost"), String(lost));
    const ms = trace.timeOf(this.chart.shown);
    write(element("when"), ms === undefined ? ago(behind) : clock(ms));
  }

  #state(text: string, look: "live" | "bad" | ""): void {
    const state = element("state");
    write(state, text);
    const wanted = look ? `pill ${look}` : "pill";
    if (state.className !== wanted) state.className = wanted;
  }
}

const signed = (ms: number): string => `${ms < -0.5 ? "−" : "+"}${Math.abs(Math.round(ms))} ms`;
const ago = (ms: number): string => ms < 1000 ? "now" : `${(ms / 1000).toFixed(1)} s ago`;
const clock = (ms: number): string =>
  Number.isFinite(ms) && Math.abs(ms) < 8e15
    ? new Date(ms).toLocaleTimeString([], { hour12: false })
    : "";
