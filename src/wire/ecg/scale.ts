/**
 * What the integers of a packed signal mean: rate, leads, gain and baseline. It travels once per
 * stream, as the `scale` of an ECG_DATA payload; packed signals name it by `id`.
 *
 * @module
 */
import { WireError } from "../bytes.ts";

/** One lead: `physical = (raw - baseline) / gain`, in `unit`. */
export interface Lead {
  /** "MLII", "V5"; 1 to 32 characters. */
  readonly name: string;
  /** "mV"; up to 16 characters. */
  readonly unit: string;
  /** Raw steps per unit; not 0. */
  readonly gain: number;
  /** Raw value of 0 units. */
  readonly baseline: number;
}

export interface Scale {
  /** 0 to 65,535, chosen by the publisher; another meaning needs another id. */
  readonly id: number;
  /** Samples per second of each lead. */
  readonly sampling_rate: number;
  readonly leads: readonly Lead[];
}

export const MAX_LEADS = 64;
const MAX_NAME = 32;
const MAX_UNIT = 16;

/** The scale in a payload. Throws `INVALID_SCALE`. Fields beyond these are left out. */
export function readScale(value: unknown): Scale {
  const { id, sampling_rate, leads } = record(value);
  if (!isId(id)) throw invalid("id is 0 to 65535");
  if (!isNumber(sampling_rate) || sampling_rate <= 0) throw invalid("sampling_rate is above 0");
  if (!Array.isArray(leads) || leads.length < 1 || leads.length > MAX_LEADS) {
    throw invalid(`1 to ${MAX_LEADS} leads`);
  }
  return { id, sampling_rate, leads: leads.map(readLead) };
}

function readLead(value: unknown): Lead {
  const { name, unit, gain, baseline } = record(value);
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME) {
    throw invalid(`a lead's name has 1 to ${MAX_NAME} characters`);
  }
  if (typeof unit !== "string" || unit.length > MAX_UNIT) {
    throw invalid(`a unit has up to ${MAX_UNIT} characters`);
  }
  if (!isNumber(gain) || gain === 0) throw invalid("a gain is not 0");
  if (!isNumber(baseline)) throw invalid("a baseline is a number");
  return { name, unit, gain, baseline };
}

/** Raw samples of a lead in its unit. */
export function physical(samples: Int32Array, { gain, baseline }: Lead): Float64Array<ArrayBuffer> {
  const values = new Float64Array(samples.length);
  for (let i = 0; i < values.length; i++) values[i] = (samples[i]! - baseline) / gain;
  return values;
}

const isId = (value: unknown): value is number =>
  Number.isInteger(value) && value as number >= 0 && value as number <= 0xffff;

const isNumber = (value: unknown): value is number => Number.isFinite(value);

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || value instanceof Map) throw invalid("no map");
  return value as Record<string, unknown>;
}

const invalid = (detail: string): WireError => new WireError("INVALID_SCALE", 0, detail);
