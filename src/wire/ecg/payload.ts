/**
 * The payload of an ECG message: one MessagePack value, with the three wrappers of "Custom Type
 * Wrappers" as values of their own.
 *
 * @module
 */
import { type Bytes, WireError } from "../bytes.ts";
import type { Value, ValueMap } from "./msgpack.ts";
import { decode } from "./msgpack_decode.ts";
import { encode } from "./msgpack_encode.ts";
import { NdArray, ndarray } from "./ndarray.ts";

/** What a payload can hold once read. */
export type Payload = Value<EcgDateTime | EcgUuid | NdArray>;

// What Python's isoformat() writes, and the Z of JavaScript's toISOString().
const iso =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.(\d{1,9}))?)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?)?$/;

const daysIn = (year: number, month: number): number =>
  new Date(Date.UTC(2000 + year % 400, month, 0)).getUTCDate();

/** `__datetime__`: a date and time, kept as the text on the wire so that microseconds survive. */
export class EcgDateTime {
  /** Throws `INVALID_DATETIME` unless `text` is a date and a time of day, as Python writes them. */
  constructor(readonly text: string, offset = 0) {
    const [whole, year, month, day] = iso.exec(text) ?? [];
    const exists = whole !== undefined && Number(year) > 0 && Number(month) > 0 &&
      Number(month) <= 12 && Number(day) > 0 && Number(day) <= daysIn(Number(year), Number(month));
    if (!exists) throw new WireError("INVALID_DATETIME", offset);
  }

  static from(date: Date): EcgDateTime {
    // Before 3.11 Python reads no Z.
    return new EcgDateTime(date.toISOString().replace("Z", "+00:00"));
  }

  /** To the millisecond, the rest cut off. A text without an offset is taken as UTC. */
  toDate(): Date {
    const [, , , , , fraction = "", zone = "Z"] = iso.exec(this.text)!;
    // Every runtime reads exactly three digits and offsets of whole minutes.
    const seconds = this.text.slice(11).match(/^\d\d:\d\d(?::\d\d)?/)![0];
    const clock = seconds.length === 5 ? `${seconds}:00` : seconds;
    const millis = fraction.slice(0, 3).padEnd(3, "0");
    const date = new Date(`${this.text.slice(0, 11)}${clock}.${millis}${zone.slice(0, 6)}`);
    const zoneSeconds = Number(zone.slice(7)) * (zone.startsWith("-") ? 1000 : -1000);
    return new Date(date.getTime() + zoneSeconds);
  }
}

/** `__uuid__`: 36 characters with hyphens, in the case of the wire. */
export class EcgUuid {
  /** Throws `INVALID_UUID`. */
  constructor(readonly text: string, offset = 0) {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
      throw new WireError("INVALID_UUID", offset);
    }
  }
}

/**
 * Reads a payload; none at all reads as nil.
 *
 * Throws what {@linkcode decode} throws, and `INVALID_DATETIME`, `INVALID_UUID` or `INVALID_NDARRAY`
 * for a wrapper with the wrong content. A map is a wrapper only with exactly its keys: with one
 * more it is a map.
 */
export const readPayload = (bytes: Uint8Array): Payload =>
  bytes.length === 0 ? null : decode<EcgDateTime | EcgUuid | NdArray>(bytes, revive);

/** Writes a payload. Throws what {@linkcode encode} throws. */
export const writePayload = (value: unknown): Bytes => encode(value, wrap);

function revive(
  map: ValueMap<EcgDateTime | EcgUuid | NdArray>,
  size: number,
  offset: number,
): EcgDateTime | EcgUuid | NdArray | undefined {
  if (size === 1) {
    if (Object.hasOwn(map, "__datetime__")) {
      return new EcgDateTime(text(map.__datetime__, "INVALID_DATETIME", offset), offset);
    }
    if (Object.hasOwn(map, "__uuid__")) {
      return new EcgUuid(text(map.__uuid__, "INVALID_UUID", offset), offset);
    }
  } else if (
    size === 3 && Object.hasOwn(map, "__ndarray__") && Object.hasOwn(map, "dtype") &&
    Object.hasOwn(map, "shape")
  ) {
    return ndarray(map.__ndarray__, map.dtype, map.shape, offset);
  }
  return undefined;
}

function text(value: unknown, code: string, offset: number): string {
  if (typeof value !== "string") throw new WireError(code, offset, "no text");
  return value;
}

function wrap(value: object): unknown {
  if (value instanceof EcgDateTime) return { __datetime__: value.text };
  if (value instanceof EcgUuid) return { __uuid__: value.text };
  if (value instanceof NdArray) {
    return { __ndarray__: value.toLists(), dtype: value.dtype, shape: value.shape };
  }
  return undefined;
}
