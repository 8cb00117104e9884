/**
 * The real recordings of `test/data/ecg`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { Scale } from "../../src/wire/ecg/scale.ts";

export interface Recording {
  readonly name: string;
  readonly scale: Scale;
  /** Raw samples, lead by lead. */
  readonly leads: readonly Int32Array<ArrayBuffer>[];
}

interface Description {
  readonly fs: number;
  readonly leads: readonly { name: string; units: string; gain: number; baseline: number }[];
}

export const RECORDINGS = ["mitdb100_20s", "mitdb208_20s", "cinc2015_a103l_20s"] as const;

/** Reads `NAME.json` and `NAME.i16`; from another folder if one is given (a URL that ends in "/"). */
export function recording(
  name: string,
  folder: URL = new URL("../data/ecg/", import.meta.url),
): Recording {
  const about = JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")) as Description;
  const bytes = readFileSync(new URL(`${name}.i16`, folder));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = about.leads.length;
  const frames = bytes.length / 2 / count;
  const leads = about.leads.map((_, lead) =>
    Int32Array.from({ length: frames }, (_, i) => view.getInt16(2 * (i * count + lead), true))
  );
  const scale = {
    id: 1,
    sampling_rate: about.fs,
    leads: about.leads.map(({ name, units, gain, baseline }) => ({
      name,
      unit: units,
      gain,
      baseline,
    })),
  };
  return { name, scale, leads };
}

/** One chunk of every lead. */
export const chunkOf = ({ leads }: Recording, from: number, samples: number) =>
  leads.map((lead) => lead.slice(from, from + samples));
