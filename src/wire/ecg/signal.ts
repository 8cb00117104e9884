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
  { position, leads }: Omit<Chunk, "scale">,
  { sampling_rate, leads: scales }: Scale,
): Record<string, unknown> {
  const lists = leads.map((samples, i) => ({ values: physical(samples, scales[i]!) }));
  return {
    signal: lists.length === 1 ? lists[0]!.values : joined(lists),
    sampling_rate,
    sample: position,
    leads: scales.map(({ name }) => name),
    units: scales.map(({ unit }) => unit),
  };
}

/** The payload as it would have come unpacked: so says {@linkcode unpackedFields}, without scale. */
export function unpackedPayload(payload: Payload, { rate, leads, position }: Signal): Payload {
  if (payload instanceof Map || typeof payload !== "object" || payload === null) return payload;
  const { scale: _, ...rest } = payload as Record<string, Payload>;
  const [first, ...more] = leads;
  return {
    ...rest,
    signal: more.length === 0 ? Array.from(first!.values) : joined(leads),
    sampling_rate: rate,
    ...(position === undefined ? {} : { sample: position }),
    leads: leads.map(({ name }) => name),
    units: leads.map(({ unit }) => unit),
  };
}

/** Leads as the rows of one array. */
function joined(leads: readonly Pick<SignalLead, "values">[]): NdArray {
  const length = leads[0]!.values.length;
  const flat = new Float64Array(leads.length * length);
  leads.forEach(({ values }, i) => flat.set(values, i * length));
  return new NdArray("float64", flat, [leads.length, length]);
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
