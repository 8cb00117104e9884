/**
 * A synthetic heart: the dynamical model of McSharry, Clifford, Tarassenko and Smith ("A dynamical
 * model for generating synthetic electrocardiogram signals", IEEE Trans Biomed Eng 50(3), 2003).
 *
 * A point runs around the unit circle, once a beat; the waves P, Q, R, S and T pull a third
 * coordinate up or down as it passes their angles:
 *
 *     x' = a x - w y      y' = a y + w x      a = 1 - sqrt(x^2 + y^2)      w = 2 pi / RR
 *     z' = -sum a_i d_i exp(-d_i^2 / 2 b_i^2) - (z - z0)                   d_i = angle - angle_i
 *
 * Each lead has amplitudes of its own and is one z more on the same circle. RR follows breathing
 * (0.25 Hz) and blood pressure (0.1 Hz), as in the paper. Arrhythmia is ours: early ventricular beats with a
 * wide QRS and a compensatory pause, atrial fibrillation without P waves, or pauses of three seconds.
 *
 * @module
 */
import { generator } from "../generator.ts";
import type { Annotation, LeadInfo } from "./recording.ts";

export const ARRHYTHMIAS = ["none", "pvc", "af", "pause"] as const;
export type Arrhythmia = (typeof ARRHYTHMIAS)[number];

export interface HeartOptions {
  /** Samples a second. */
  readonly rate: number;
  /** Leads, from the list in {@linkcode LEADS}. */
  readonly leads: number;
  /** Mean beats a minute. */
  readonly bpm: number;
  /** Noise in mV: a third each of white noise, mains hum and wander of the baseline. */
  readonly noise: number;
  readonly arrhythmia: Arrhythmia;
  /** Equal seeds give equal hearts. */
  readonly seed: number;
}

/** Amplitudes of P, Q, R, S, T in each lead, against those of the paper (which are lead II's). */
export const LEADS: Readonly<Record<string, readonly [number, number, number, number, number]>> = {
  II: [1, 1, 1, 1, 1],
  V5: [0.7, 1.2, 1.15, 0.9, 1.1],
  I: [0.8, 0.8, 0.65, 0.6, 0.7],
  V1: [0.5, 0.2, 0.2, 3.2, -0.4],
  V2: [0.6, 0.2, 0.45, 3.6, 1.1],
  V3: [0.7, 0.5, 0.75, 2.2, 1.3],
  V4: [0.7, 1, 1.2, 1.4, 1.3],
  V6: [0.7, 1, 0.9, 0.4, 0.9],
  III: [0.4, 0.5, 0.4, 0.6, 0.3],
  aVR: [-0.9, -0.9, -0.85, -0.8, -0.85],
  aVL: [0.3, 0.3, 0.25, 0.1, 0.25],
  aVF: [0.7, 0.8, 0.7, 0.8, 0.65],
};

const DEGREE = Math.PI / 180;
const ANGLES = [-70, -15, 0, 15, 100].map((angle) => angle * DEGREE);
const AMPLITUDES = [1.2, -5, 30, -7.5, 0.75];
const WIDTHS = [0.25, 0.1, 0.1, 0.1, 0.4];
/** An early ventricular beat: no P, a wide QRS, T the other way. */
const EARLY = { amplitudes: [0, 0, 5.2, -2.2, -0.5], widths: [0.25, 0.1, 0.28, 0.34, 0.5] };
/** The model's R peak is about 0.04 units for R's amplitude 30 at 60 beats a minute; here, in mV. */
const MILLIVOLTS = 1.15 / 0.0385;
/** The model is integrated at no less than this. */
const STEPS_PER_SECOND = 500;

type Beat = "normal" | "early";

export class Heart {
  readonly name = "heart";
  readonly leads: readonly LeadInfo[];
  readonly rate: number;
  readonly #options: HeartOptions;
  readonly #weights: readonly (readonly number[])[];
  readonly #random: () => number;
  #x = -1;
  #y = 0;
  readonly #z: Float64Array;
  #seconds = 0;
  #sample = 0;
  #rr: number;
  #beat: Beat = "normal";
  /** Beats since the last odd one. */
  #since = 0;
  #compensate = false;
  #pausedUntil = -Infinity;
  #annotations: Annotation[] = [];

  constructor(options: HeartOptions) {
    const names = Object.keys(LEADS).slice(0, options.leads);
    this.#options = options;
    this.rate = options.rate;
    this.leads = names.map((name) => ({ name, units: "mV", gain: 1, baseline: 0 }));
    this.#weights = names.map((name) => LEADS[name]!);
    this.#z = new Float64Array(names.length);
    this.#random = generator(options.seed);
    this.#rr = 60 / options.bpm;
  }

  /** The next `count` samples of each lead, in mV. */
  read(count: number): Float64Array[] {
    const rows = this.leads.map(() => new Float64Array(count));
    const inner = Math.max(1, Math.ceil(STEPS_PER_SECOND / this.rate));
    const step = 1 / this.rate / inner;
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < inner; k++) this.#step(step);
      for (const [lead, row] of rows.entries()) {
        row[i] = this.#z[lead]! * MILLIVOLTS + this.#noise(lead);
      }
      this.#sample++;
    }
    return rows;
  }

  /** Beats since the last call, at their R peaks. */
  beats(): Annotation[] {
    const beats = this.#annotations;
    this.#annotations = [];
    return beats;
  }

  /** One Runge-Kutta step of fourth order on the circle; z follows the middle of the step. */
  #step(h: number): void {
    if (this.#seconds < this.#pausedUntil) {
      this.#seconds += h;
      for (let lead = 0; lead < this.#z.length; lead++) this.#z[lead]! *= 1 - 4 * h;
      return;
    }
    const before = Math.atan2(this.#y, this.#x);
    const w = 2 * Math.PI / this.#rr;
    const [x, y] = [this.#x, this.#y];
    const dx = (x: number, y: number) => (1 - Math.hypot(x, y)) * x - w * y;
    const dy = (x: number, y: number) => (1 - Math.hypot(x, y)) * y + w * x;
    const [k1, l1] = [dx(x, y), dy(x, y)];
    const [k2, l2] = [dx(x + h / 2 * k1, y + h / 2 * l1), dy(x + h / 2 * k1, y + h / 2 * l1)];
    const [k3, l3] = [dx(x + h / 2 * k2, y + h / 2 * l2), dy(x + h / 2 * k2, y + h / 2 * l2)];
    const [k4, l4] = [dx(x + h * k3, y + h * l3), dy(x + h * k3, y + h * l3)];
    this.#x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
    this.#y = y + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4);
    this.#seconds += h;
    const angle = Math.atan2(this.#y, this.#x);
    this.#waves(h, angle);
    // R is at angle 0, a new beat begins opposite to it.
    if (before < 0 && angle >= 0) this.#note();
    if (before > angle + Math.PI) this.#next();
  }

  #waves(h: number, angle: number): void {
    const early = this.#beat === "early";
    const { arrhythmia, bpm } = this.#options;
    const amplitudes = early ? EARLY.amplitudes : AMPLITUDES;
    const widths = early ? EARLY.widths : WIDTHS;
    // Waves take a larger part of a shorter beat.
    const stretch = Math.sqrt(bpm / 60);
    this.#z.forEach((z, lead) => {
      const weights = this.#weights[lead]!;
      const breath = 0.005 * Math.sin(2 * Math.PI * 0.25 * this.#seconds);
      let change = -(z - breath);
      for (let wave = 0; wave < 5; wave++) {
        if (wave === 0 && arrhythmia === "af") continue;
        const b = widths[wave]! * stretch;
        let d = angle - ANGLES[wave]! * Math.sqrt(stretch);
        if (d > Math.PI) d -= 2 * Math.PI;
        else if (d < -Math.PI) d += 2 * Math.PI;
        change -= weights[wave]! * amplitudes[wave]! * d * Math.exp(-d * d / (2 * b * b));
      }
      // Fibrillating atria, about 6 times a second.
      if (arrhythmia === "af") change += 0.06 * Math.cos(2 * Math.PI * 6 * this.#seconds + lead);
      this.#z[lead] = z + h * change;
    });
  }

  #note(): void {
    this.#annotations.push({ sample: this.#sample, symbol: this.#beat === "early" ? "V" : "N" });
  }

  /** What the next beat is, and how long it takes. */
  #next(): void {
    const { bpm, arrhythmia } = this.#options;
    const mean = 60 / bpm;
    const t = 2 * Math.PI * this.#seconds;
    let rr = mean *
      (1 + 0.03 * Math.sin(0.25 * t) + 0.02 * Math.sin(0.1 * t) + 0.01 * this.#normal());
    this.#beat = "normal";
    this.#since++;
    if (this.#compensate) rr *= 1.4;
    this.#compensate = false;
    if (arrhythmia === "af") rr = mean * Math.min(1.6, Math.max(0.5, 1 + 0.2 * this.#normal()));
    if (arrhythmia === "pvc" && this.#since > 2 && this.#random() < 0.18) {
      this.#beat = "early";
      this.#compensate = true;
      this.#since = 0;
      rr = 0.62 * mean;
    }
    if (arrhythmia === "pause" && this.#since > 12) {
      this.#pausedUntil = this.#seconds + 3;
      this.#since = 0;
    }
    this.#rr = rr;
  }

  #noise(lead: number): number {
    const { noise } = this.#options;
    if (noise === 0) return 0;
    const t = 2 * Math.PI * this.#seconds;
    return noise / 3 * (this.#normal() + Math.sin(50 * t + lead) + Math.sin(0.15 * t + 2 * lead));
  }

  /** Normally distributed, by the sum of twelve. */
  #normal(): number {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.#random();
    return sum;
  }
}
