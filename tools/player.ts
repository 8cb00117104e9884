/**
 * Plays a recording or a heart into a stream, at the pace of the clock.
 *
 * @module
 */
import { NdArray } from "../src/wire/ecg/ndarray.ts";
import { MessageType } from "../src/wire/ecg/codes.ts";
import type { EcgClient } from "../src/client/ecg/ecg_client.ts";
import type { Heart } from "./formats/heart.ts";
import { type Annotation, type LeadInfo, physical, type Recording } from "./formats/recording.ts";

/** Something to play, a piece at a time. */
export interface Source {
  readonly name: string;
  readonly rate: number;
  readonly leads: readonly LeadInfo[];
  /** Samples in all; infinite for a heart. */
  readonly length: number;
  /** The next samples of each lead as physical values: fewer than asked at the end, none after it. */
  read(count: number): Float64Array[];
  /** Beats since the last call, numbered as the samples are. */
  beats(): readonly Annotation[];
}

/** A recording from `from` to `to`, once or for ever. */
export function recordingSource(
  recording: Recording,
  { from = 0, to = Infinity, loop = false }: { from?: number; to?: number; loop?: boolean } = {},
): Source {
  const { leads, samples, annotations } = recording;
  const start = Math.min(from, samples[0]!.length);
  const end = Math.max(start, Math.min(to, samples[0]!.length));
  let at = start;
  let played = 0;
  let beats: Annotation[] = [];
  const source: Source = {
    name: recording.name,
    rate: recording.rate,
    leads,
    length: loop && end > start ? Infinity : end - start,
    read(count) {
      if (at >= end && loop && end > start) at = start;
      const stop = Math.min(end, at + count);
      const shift = played - at;
      for (const { sample, symbol } of annotations) {
        if (sample >= at && sample < stop) beats.push({ sample: sample + shift, symbol });
      }
      const rows = samples.map((row, i) =>
        row.slice(at, stop).map((value) => physical(value, leads[i]!))
      );
      played += stop - at;
      at = stop;
      return rows;
    },
    beats() {
      const since = beats;
      beats = [];
      return since;
    },
  };
  return source;
}

export const heartSource = (heart: Heart, length = Infinity): Source => {
  let played = 0;
  return {
    name: heart.name,
    rate: heart.rate,
    leads: heart.leads,
    length,
    read(count) {
      const rows = heart.read(Math.min(count, length - played));
      played += rows[0]!.length;
      return rows;
    },
    beats: () => heart.beats(),
  };
};

export interface PlayOptions {
  /** Against real time; Infinity sends as fast as the link takes it. */
  readonly speed: number;
  /** Seconds of signal in a message. */
  readonly chunk: number;
  /** Part of the messages that are left out on purpose, to see gaps. */
  readonly drop?: number;
  /** An ANOMALY_ALERT every so many seconds of signal; 0 for none. */
  readonly alarmEvery?: number;
  /** Sends stored integers by the client's scale, packed where the relay knows how. */
  readonly packed?: boolean;
  readonly signal?: AbortSignal;
  progress?(sent: number): void;
}

/** What a message of samples says. One lead is a list of numbers, as in the protocol's example. */
export function chunkPayload(
  { rate, leads }: Pick<Source, "rate" | "leads">,
  rows: readonly Float64Array[],
  sample: number,
  startMs?: number,
): Record<string, unknown> {
  const count = rows[0]!.length;
  const common = {
    sampling_rate: rate,
    sample,
    ...timeOf(startMs),
  };
  if (rows.length === 1) {
    return { signal: rows[0], lead: leads[0]!.name, units: leads[0]!.units, ...common };
  }
  const data = new Float64Array(count * rows.length);
  rows.forEach((row, i) => data.set(row, i * count));
  return {
    signal: new NdArray("float64", data, [rows.length, count]),
    leads: leads.map(({ name }) => name),
    units: leads.map(({ units }) => units),
    ...common,
  };
}

const timeOf = (startMs?: number): { timestamp?: number } =>
  startMs === undefined ? {} : { timestamp: startMs / 1000 };

/** The scale of a source: stored steps as they are, and 1 µV for what was computed. */
export const scaleOf = ({ rate, leads }: Pick<Source, "rate" | "leads">) => ({
  sampling_rate: rate,
  leads: leads.map(({ name, units, gain, baseline }) =>
    gain === 1
      ? { name, unit: units, gain: COMPUTED_GAIN, baseline: 0 }
      : { name, unit: units, gain, baseline }
  ),
});
const COMPUTED_GAIN = 1000;

/** Physical values as the integers of {@linkcode scaleOf}: exactly those that were stored. */
const stored = (source: Source, rows: readonly Float64Array[]): Int32Array<ArrayBuffer>[] => {
  const { leads } = scaleOf(source);
  return rows.map((row, i) =>
    Int32Array.from(row, (value) => Math.round(value * leads[i]!.gain + leads[i]!.baseline))
  );
};

/** Plays until the source or the signal ends. Answers how many samples of each lead were sent. */
export async function play(
  client: EcgClient,
  source: Source,
  options: PlayOptions,
): Promise<number> {
  const { speed, drop = 0, alarmEvery = 0, signal } = options;
  const size = Math.max(1, Math.round(options.chunk * source.rate));
  const [began, wall] = [performance.now(), Date.now()];
  let sent = 0;
  let alarmed = 0;
  /** The last nine beats: eight intervals. */
  const last: number[] = [];
  while (!signal?.aborted) {
    const rows = source.read(size);
    const count = rows[0]!.length;
    if (count === 0) break;
    // A message can be sent when its last sample has been taken.
    const due = began + 1000 * (sent + count) / source.rate / speed;
    const wait = due - performance.now();
    if (wait > 0) await pause(wait, signal);
    if (signal?.aborted) break;
    const startMs = speed === 1 ? wall + 1000 * sent / source.rate : undefined;
    if (Math.random() >= drop) {
      if (options.packed) {
        // A packed signal counts its samples, but not those that never were in one.
        const counted = drop > 0 ? { sample: sent } : {};
        await client.publishSamples(stored(source, rows), { ...counted, ...timeOf(startMs) });
      } else await client.publish(chunkPayload(source, rows, sent, startMs));
    }
    sent += count;
    const beats = source.beats();
    if (beats.length > 0) {
      await client.publish({ beats, ...rateOf(beats) }, { type: MessageType.FEATURE_DATA });
    }
    if (alarmEvery > 0 && sent / source.rate >= alarmed + alarmEvery) {
      alarmed = sent / source.rate;
      await client.publish(
        {
          anomaly: "Test alarm",
          message: `after ${alarmed.toFixed(1)} s`,
          severity: "high",
          sample: sent - 1,
        },
        { type: MessageType.ANOMALY_ALERT },
      );
    }
    options.progress?.(sent);
  }
  return sent;

  function rateOf(beats: readonly Annotation[]): { heart_rate?: number } {
    last.push(...beats.map(({ sample }) => sample));
    last.splice(0, last.length - 9);
    const samples = last.at(-1)! - last[0]!;
    return samples > 0
      ? { heart_rate: Math.round(60 * source.rate * (last.length - 1) / samples) }
      : {};
  }
}

const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
