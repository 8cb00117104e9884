/**
 * The signal in an ECG_DATA payload, whichever of its forms it has: the seed's list of floats, an
 * `__ndarray__`, or a packed chunk.
 *
 * @module
 */
import { WireError } from "../bytes.ts";
import { NdArray } from "./ndarray.ts";
import type { Payload } from "./payload.ts";
import { type Chunk, chunkData, unpackSamples } from "./samples.ts";
import { physical, type Scale } from "./scale.ts";

/** One lead of a signal. */
export interface SignalLead {
  /** Empty where the message does not say. */
  readonly name: string;
  readonly unit: string;
  readonly values: Float64Array<ArrayBuffer>;
  /** What `values` were made of: packed signals only. */
  readonly raw?: Int32Array<ArrayBuffer>;
}

export interface Signal {
  /** Samples per second; 0 where the message does not say. */
  readonly rate: number;
  /** At least one, all equally long. */
  readonly leads: readonly SignalLead[];
  /** Samples of each lead before these, modulo 2^32: packed signals only. */
  readonly position?: number;
}

/**
 * The signal in a payload, if it has one that can be read. `scaleOf` knows the scales of packed ones.
 *
 * Throws what `unpackSamples` throws, and `UNKNOWN_SCALE`.
 */
export function readSignal(
  payload: Payload,
  scaleOf: (id: number) => Scale | undefined,
): Signal | undefined {
  const fields = fieldsOf(payload);
  const data = chunkData(fields.signal);
  if (data) {
    const chunk = unpackSamples(data);
    const scale = scaleOf(chunk.scale);
    if (!scale || scale.leads.length !== chunk.leads.length) {
      throw new WireError("UNKNOWN_SCALE", 0, `scale ${chunk.scale}`);
    }
    return {
      rate: scale.sampling_rate,
      position: chunk.position,
      leads: chunk.leads.map((raw, i) => {
        const lead = scale.leads[i]!;
        return { name: lead.name, unit: lead.unit, values: physical(raw, lead), raw };
      }),
    };
  }
  const leads = values(fields.signal);
  if (!leads) return undefined;
  const rate = fields.sampling_rate ?? fields.samplingRate;
  return {
    rate: typeof rate === "number" && rate > 0 && Number.isFinite(rate) ? rate : 0,
    leads: leads.map((values, i) => ({
      name: text(fields.leads, i),
      unit: text(fields.units, i),
      values,
    })),
  };
}

/** The fields of an ECG_DATA payload that say the same as a chunk, without packing. */
export function unpackedFields(
  leads: Chunk["leads"],
  { sampling_rate, leads: scales }: Scale,
): Record<string, unknown> {
  const lists = leads.map((samples, i) => physical(samples, scales[i]!));
  const [first] = lists;
  let signal: unknown = first;
  if (lists.length > 1) {
    const flat = new Float64Array(lists.length * first!.length);
    lists.forEach((list, i) => flat.set(list, i * first!.length));
    signal = new NdArray("float64", flat, [lists.length, first!.length]);
  }
  return {
    signal,
    sampling_rate,
    leads: scales.map(({ name }) => name),
    units: scales.map(({ unit }) => unit),
  };
}

/** Lists of numbers, one for each lead. */
function values(signal: unknown): Float64Array<ArrayBuffer>[] | undefined {
  if (signal instanceof NdArray) {
    const { data, shape } = signal;
    if (shape.length < 1 || shape.length > 2 || data.length === 0) return undefined;
    const flat = Float64Array.from<number | bigint>(data, Number);
    const length = shape.at(-1)!;
    return Array.from(
      { length: flat.length / length },
      (_, i) => flat.slice(i * length, (i + 1) * length),
    );
  }
  if (!Array.isArray(signal) || signal.length === 0) return undefined;
  const lists: unknown[] = Array.isArray(signal[0]) ? signal : [signal];
  const leads = lists.map(numbers);
  const [first] = leads;
  const fit = leads.every((lead) => lead !== undefined && lead.length === first!.length);
  return fit ? leads as Float64Array<ArrayBuffer>[] : undefined;
}

function numbers(list: unknown): Float64Array<ArrayBuffer> | undefined {
  if (!Array.isArray(list)) return undefined;
  return list.every((one) => typeof one === "number") ? Float64Array.from(list) : undefined;
}

const text = (list: unknown, i: number): string =>
  Array.isArray(list) && typeof list[i] === "string" ? list[i] : "";

function fieldsOf(payload: Payload): Record<string, unknown> {
  if (payload instanceof Map) return Object.fromEntries(payload);
  return typeof payload === "object" && payload !== null ? { ...payload } : {};
}
