/**
 * The recording that demo, tests and benchmarks play: one minute of MIT-BIH record 100.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** Samples of one lead. */
export interface DemoRecording {
  readonly lead: string;
  /** Samples per second. */
  readonly rate: number;
  /** Millivolts. */
  readonly signal: Float64Array<ArrayBuffer>;
}

interface Header {
  readonly fs: number;
  readonly leads: readonly { name: string; gain: number; baseline: number }[];
}

const folder = new URL("../../data/ecg/", import.meta.url);

/** Reads lead 0, MLII. */
export function recording(): DemoRecording {
  const header = JSON.parse(readFileSync(new URL("mitdb100_60s.json", folder), "utf8")) as Header;
  const file = readFileSync(new URL("mitdb100_60s.i16", folder));
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const [{ name, gain, baseline }] = header.leads as [Header["leads"][number]];
  const frame = 2 * header.leads.length;
  const signal = new Float64Array(file.length / frame);
  for (let i = 0; i < signal.length; i++) {
    signal[i] = (view.getInt16(frame * i, true) - baseline) / gain;
  }
  return { lead: name, rate: header.fs, signal };
}

/** A strip of the signal for a terminal, `width` characters wide and `height` lines high. */
export function strip(signal: Float64Array, width: number, height = 4): string[] {
  // A braille character is 2 dots wide and 4 high.
  const [columns, rows] = [2 * width, 4 * height];
  let low = Infinity;
  let high = -Infinity;
  for (const value of signal) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const cells = Array.from({ length: height }, () => new Uint8Array(width));
  const dot = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
  const row = (value: number) => Math.round((high - value) / (high - low || 1) * (rows - 1));
  let before = row(signal[0] ?? 0);
  for (let x = 0; x < columns; x++) {
    const y = row(signal[Math.floor(x / columns * signal.length)] ?? 0);
    // Join the dots, or the steep parts would fall apart.
    for (let at = Math.min(y, before); at <= Math.max(y, before); at++) {
      cells[at >> 2]![x >> 1]! |= dot[at & 3]![x & 1]!;
    }
    before = y;
  }
  return cells.map((line) => String.fromCharCode(...Array.from(line, (bits) => 0x2800 + bits)));
}
