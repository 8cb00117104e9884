/**
 * The samples in an ECG_DATA payload, in the shapes that monitors send them (`docs/viewer.md` has
 * the table), as one `Float32Array` of physical values for each lead.
 *
 * @module
 */
import type { EcgMessage } from "../../src/client/ecg/conversation.ts";
import { EcgDateTime, type Payload } from "../../src/wire/ecg/payload.ts";
import { NdArray } from "../../src/wire/ecg/ndarray.ts";

export interface LeadSamples {
  readonly name: string;
  /** `mV` for everything that is a voltage; other units as they were sent. */
  readonly units: string;
}

/** The samples of one message: as many for each lead. */
export interface SampleChunk {
  /** Samples a second, of each lead. */
  readonly rate: number;
  readonly leads: readonly LeadSamples[];
  /** Physical values. What is no finite number is NaN, and drawn as missing. */
  readonly samples: readonly Float32Array[];
  /** Number of the first sample, counted by the sender from the start of the stream. */
  readonly first: number | undefined;
  /** When the first sample was taken, milliseconds since 1970. */
  readonly startMs: number | undefined;
}

/** More leads than any recorder has: beyond this the page would only be slow. */
export const MAX_LEADS = 32;
export const MAX_RATE = 100_000;

/** A payload that has no signal that can be drawn. */
export class SignalError extends Error {
  override readonly name = "SignalError";
}

type Map = Readonly<Record<string, Payload>>;

/**
 * The samples of an ECG_DATA message: unpacked by the SDK, or as they are in the payload. Throws
 * {@linkcode SignalError}.
 */
export function chunkOf({ payload, signal }: Pick<EcgMessage, "payload" | "signal">): SampleChunk {
  // Only a packed signal has a position. Of the others the payload says more: gains, single leads.
  if (signal?.position === undefined) return readChunk(payload);
  const { leads, rate, position } = signal;
  if (!(rate > 0 && rate <= MAX_RATE)) throw new SignalError(`sampling_rate: ${rate}`);
  if (leads.length > MAX_LEADS) {
    throw new SignalError(`${leads.length} leads: want 1 to ${MAX_LEADS}`);
  }
  const scaled = leads.map(({ name, unit, values }, i) => {
    const micro = isMicro(unit);
    return {
      lead: { name: name || `lead ${i + 1}`, units: micro ? "mV" : unit },
      samples: micro ? physical(values, 1000, 0) : Float32Array.from(values),
    };
  });
  return {
    rate,
    leads: scaled.map(({ lead }) => lead),
    samples: scaled.map(({ samples }) => samples),
    first: (isMap(payload) ? sampleNumber(payload) : undefined) ?? position,
    startMs: isMap(payload) ? unixMs(get(payload, "timestamp")) : undefined,
  };
}

/** Reads the payload of an ECG_DATA message. Throws {@linkcode SignalError}. */
export function readChunk(payload: Payload): SampleChunk {
  if (!isMap(payload)) throw new SignalError("the payload is not a map");
  const rate = number(get(payload, "sampling_rate") ?? get(payload, "samplingRate")) ?? 0;
  if (!(rate > 0 && rate <= MAX_RATE)) {
    throw new SignalError(`sampling_rate: want a number above 0 and up to ${MAX_RATE}`);
  }
  const { names, rows } = readRows(payload);
  if (rows.length === 0 || rows.length > MAX_LEADS) {
    throw new SignalError(`${rows.length} leads: want 1 to ${MAX_LEADS}`);
  }
  const length = rows[0]!.length;
  if (rows.some((row) => row.length !== length)) {
    throw new SignalError("the leads have different numbers of samples");
  }
  const leads: LeadSamples[] = [];
  const samples = rows.map((row, i) => {
    const sent = text(each(payload, "units", i)) ?? "mV";
    const micro = isMicro(sent);
    leads.push({ name: names[i] ?? `lead ${i + 1}`, units: micro ? "mV" : sent });
    const gain = number(each(payload, "gain", i)) ?? 1;
    const baseline = number(each(payload, "baseline", i)) ?? 0;
    if (gain === 0) throw new SignalError("gain: 0 divides nothing");
    return physical(row, micro ? 1000 * gain : gain, baseline);
  });
  return {
    rate,
    leads,
    samples,
    first: sampleNumber(payload),
    startMs: unixMs(get(payload, "timestamp")),
  };
}

function sampleNumber(payload: Map): number | undefined {
  const first = number(get(payload, "sample"));
  return first !== undefined && Number.isSafeInteger(first) && first >= 0 ? first : undefined;
}

const isMicro = (units: string): boolean => units === "uV" || units === "µV";

/** One row of numbers for each lead, and their names. */
function readRows(payload: Map): { names: readonly string[]; rows: readonly Row[] } {
  const signals = get(payload, "signals");
  if (isMap(signals)) {
    const names = Object.keys(signals);
    return { names, rows: names.map((name) => row(signals[name])) };
  }
  const given = get(payload, "leads") ?? get(payload, "lead");
  const names = (Array.isArray(given) ? given : [given]).map((name) => text(name) ?? "")
    .map((name, i) => name || `lead ${i + 1}`);
  const signal = get(payload, "signal") ?? signals;
  if (signal instanceof NdArray && signal.shape.length === 2) {
    return { names, rows: matrix(signal, names.length) };
  }
  if (Array.isArray(signal) && signal.length > 0 && !isNumber(signal[0])) {
    return { names, rows: signal.map(row) };
  }
  return { names, rows: [row(signal)] };
}

type Row = ArrayLike<Payload | number | bigint>;

function row(value: Payload | undefined): Row {
  if (Array.isArray(value)) return value;
  if (value instanceof NdArray && value.shape.length === 1) return value.data;
  throw new SignalError("signal: want a list of numbers, or one list for each lead");
}

/** `[leads][samples]`; `[samples][leads]` where only that fits the number of names. */
function matrix({ data, shape }: NdArray, leads: number): Row[] {
  const [outer, inner] = shape as [number, number];
  if (outer > MAX_LEADS && inner !== leads) throw new SignalError(`${outer} leads`);
  if (outer === leads || inner !== leads) {
    return Array.from({ length: outer }, (_, i) => data.subarray(i * inner, (i + 1) * inner));
  }
  return Array.from(
    { length: inner },
    (_, lead) => Array.from({ length: outer }, (_, i) => data[i * inner + lead]!),
  );
}

function physical(row: Row, gain: number, baseline: number): Float32Array {
  const samples = new Float32Array(row.length);
  for (let i = 0; i < row.length; i++) {
    const value = row[i];
    samples[i] = isNumber(value) ? (Number(value) - baseline) / gain : NaN;
  }
  return samples;
}

/**
 * A point in time as senders write it: a date, or seconds, milliseconds or microseconds since 1970.
 * Python's `time.time()` gives the first, JavaScript's `Date.now()` the second; from 1973 on their
 * sizes tell them apart.
 */
export function unixMs(value: Payload | undefined): number | undefined {
  if (value instanceof EcgDateTime) return value.toDate().getTime();
  const time = number(value);
  if (time === undefined || time < 1e8) return undefined;
  return time < 1e11 ? 1000 * time : time < 1e14 ? time : time / 1000;
}

export const isMap = (value: Payload | undefined): value is Record<string, Payload> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** A field of a map, and never what its prototype has. */
export const get = (map: Map, name: string): Payload | undefined =>
  Object.hasOwn(map, name) ? map[name] : undefined;

/** A field that is one value for all leads, or a list with one for each. */
function each(map: Map, name: string, lead: number): Payload | undefined {
  const value = get(map, name);
  return Array.isArray(value) ? value[lead] : value;
}

const isNumber = (value: unknown): value is number | bigint =>
  typeof value === "number" || typeof value === "bigint";

export const number = (value: Payload | undefined): number | undefined =>
  isNumber(value) && Number.isFinite(Number(value)) ? Number(value) : undefined;

/** Text from a peer, cut to what fits on a page. */
export const text = (value: Payload | undefined): string | undefined =>
  typeof value === "string" ? value.slice(0, 200) : undefined;
