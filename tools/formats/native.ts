/**
 * The recordings in `data/ecg`: `NAME.json` describes `NAME.i16`, little-endian int16 with the leads
 * interleaved.
 *
 * @module
 */
import {
  countIn,
  type LeadInfo,
  MAX_LEADS,
  numberIn,
  type Recording,
  refuse,
} from "./recording.ts";

/** Reads one. Throws `BAD_HEADER`, `BAD_NUMBER`, `NO_SIGNALS`, `TOO_MANY`, `TRUNCATED`. */
export function readNative(description: string, data: Uint8Array): Recording {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(description);
  } catch {
    refuse("BAD_HEADER", 1, "no JSON");
  }
  if (!Array.isArray(json?.leads)) refuse("BAD_HEADER", 1, "no list of leads");
  if (json.leads.length === 0) refuse("NO_SIGNALS", 1, "no leads");
  if (json.leads.length > MAX_LEADS) refuse("TOO_MANY", 1, `${json.leads.length} leads`);
  const rate = numberIn(String(json.fs), 1, "fs");
  if (rate <= 0) refuse("BAD_NUMBER", 1, `fs: ${rate}`);
  const leads = json.leads.map((lead: Record<string, unknown>): LeadInfo => ({
    name: String(lead?.name),
    units: String(lead?.units),
    gain: numberIn(String(lead?.gain), 1, "gain") || refuse("BAD_NUMBER", 1, "gain: 0"),
    baseline: numberIn(String(lead?.baseline), 1, "baseline"),
  }));
  const frames = countIn(String(json.n_samples), 1, "n_samples");
  if (2 * frames * leads.length > data.length) {
    refuse("TRUNCATED", 0, `${frames} samples of ${leads.length} leads are not there`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const samples = leads.map((_, lead) =>
    Float64Array.from(
      { length: frames },
      (_, i) => view.getInt16(2 * (i * leads.length + lead), true),
    )
  );
  return {
    name: String(json.name),
    rate,
    leads,
    samples,
    annotations: [],
    startMs: undefined,
    notes: [],
  };
}
