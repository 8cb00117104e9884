/**
 * Writes one MessagePack value, every part in its shortest form.
 *
 * `@msgpack/msgpack` writes it. What that would write otherwise than asked, or silently as something
 * else, is refused or replaced before: a 1.0 that stays a float, -0, numbers of typed arrays, integers
 * of 64 bits, maps with any keys. Those are encoded by themselves and put in their places.
 *
 * @module
 */
import { Encoder, ExtData } from "@msgpack/msgpack";
import { type Bytes, concatAll, WireError, Writer } from "../bytes.ts";
import { Ext, Float32, Float64, MANY, MAX_DEPTH } from "./msgpack.ts";

/** Stands in for an instance of a class of the caller; undefined if it is none of those. */
export type Replace = (value: object) => unknown;

/**
 * `value` as MessagePack.
 *
 * | value                                    | form                                              |
 * | ---------------------------------------- | ------------------------------------------------- |
 * | integral number (not -0) that is exact   | integer                                           |
 * | any other number                         | float 64                                          |
 * | bigint, -2^63 to 2^64-1                  | integer                                           |
 * | {@linkcode Float64}, {@linkcode Float32} | float 64, float 32                                |
 * | `Uint8Array`                             | binary                                            |
 * | `Float64Array`, `Float32Array`           | array of float 64, of float 32                    |
 * | other integer arrays up to 32 bits       | array of integers                                 |
 * | array; `Map`; plain object               | array; map; map without its undefined properties  |
 * | string, boolean, null, {@linkcode Ext}   | themselves                                        |
 *
 * Throws `UNSUPPORTED_VALUE` (undefined elsewhere, functions, other classes, lone surrogates),
 * `OUT_OF_RANGE` and `TOO_DEEP`.
 */
export const encode = (value: unknown, replace?: Replace): Bytes =>
  new Preparer(replace).bytes(value, 0);

/**
 * A map of `size` entries: those in `written`, each a key and its value as they are, and behind them those
 * of `map`, itself written and of 15 at most.
 */
export const mapOf = (size: number, written: readonly Uint8Array[], map: Uint8Array): Bytes =>
  concatAll([room(0x80, size, 0).bytes, ...written, map.subarray(1)]);

/** MessagePack that is written already. */
class Raw {
  constructor(readonly bytes: Bytes) {}
}

/** Bytes in front of the data of an extension that gives its data when it is asked. */
const EXT_HEADER = 6;
const NO_DATA = new Uint8Array(0);

/** A buffer that grew beyond this is not kept for the next message. */
const MOST_KEPT = 65_536;

/** What belongs into the output under way, and where: an empty extension stands there. */
let apart: { readonly at: number; readonly raw: Raw }[] = [];

const newEncoder = (): Encoder =>
  new Encoder({
    ignoreUndefined: true,
    // Depth is counted before.
    maxDepth: Infinity,
    extensionCodec: {
      tryToEncode(value) {
        if (value instanceof Ext) return value;
        if (!(value instanceof Raw)) return null;
        return new ExtData(0, (at) => {
          apart.push({ at, raw: value });
          return NO_DATA;
        });
      },
      decode: () => null,
    },
  });

let library = newEncoder();

/** What the library makes of a prepared value. */
function write(prepared: unknown): Bytes {
  if (prepared instanceof Raw) return prepared.bytes;
  apart = [];
  const shared = library.encodeSharedRef(prepared);
  if (shared.buffer.byteLength > MOST_KEPT) library = newEncoder();
  if (apart.length === 0) return shared.slice();
  const parts: Bytes[] = [];
  let from = 0;
  for (const { at, raw } of apart) {
    parts.push(shared.subarray(from, at - EXT_HEADER), raw.bytes);
    from = at;
  }
  apart = [];
  parts.push(shared.subarray(from));
  return concatAll(parts);
}

type Integers = Int8Array | Int16Array | Int32Array | Uint16Array | Uint32Array;

const isIntegers = (value: object): value is Integers =>
  value instanceof Int16Array || value instanceof Int32Array || value instanceof Uint16Array ||
  value instanceof Int8Array || value instanceof Uint32Array;

/** Turns values into such that the library writes as they are meant. */
class Preparer {
  readonly #replace: Replace | undefined;

  constructor(replace: Replace | undefined) {
    this.#replace = replace;
  }

  bytes(value: unknown, depth: number): Bytes {
    return write(this.#value(value, depth));
  }

  #value(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "number":
        return Object.is(value, -0) ? float64(value) : value;
      case "string":
        if (!value.isWellFormed()) throw unsupported("lone surrogate");
        return value;
      case "boolean":
        return value;
      case "bigint":
        return integer(value);
      case "object":
        return value === null ? null : this.#object(value, depth);
      default:
        throw unsupported(typeof value);
    }
  }

  #object(value: object, depth: number): unknown {
    if (Array.isArray(value)) return this.#array(value, depth);
    if (value instanceof Uint8Array) return value;
    const float = value instanceof Float64Array || value instanceof Float32Array;
    if (float || isIntegers(value)) {
      enter(depth);
      return float ? floats(value) : numbers(value as Integers);
    }
    if (value instanceof Float64) return float64(value.value);
    if (value instanceof Float32) return new Raw(new Writer(5).u8(0xca).f32(value.value).finish());
    if (value instanceof Ext) {
      const { type } = value;
      if (Number.isInteger(type) && type >= -128 && type <= 127) return value;
      throw new WireError("OUT_OF_RANGE", 0, `ext type ${type}`);
    }
    if (value instanceof Map) return this.#map(value, depth);
    const replaced = this.#replace?.(value);
    return replaced === undefined ? this.#properties(value, depth) : this.#value(replaced, depth);
  }

  /** The array itself unless an item of it has to be replaced, or all are numbers. */
  #array(array: readonly unknown[], depth: number): readonly unknown[] | Raw {
    enter(depth);
    const raw = array.length >= MANY && typeof array[0] === "number" ? numbers(array) : undefined;
    if (raw) return raw;
    let prepared: unknown[] | undefined;
    // By index: a hole must be refused, not skipped.
    for (let i = 0; i < array.length; i++) {
      const item = array[i];
      const replaced = this.#value(item, depth + 1);
      if (replaced !== item) (prepared ??= array.slice())[i] = replaced;
    }
    return prepared ?? array;
  }

  #properties(value: object, depth: number): object {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      throw unsupported(`a ${value.constructor?.name ?? "class"}`);
    }
    enter(depth);
    let prepared: Record<string, unknown> | undefined;
    for (const [key, item] of Object.entries(value)) {
      this.#value(key, depth);
      // The library leaves it out.
      if (item === undefined) continue;
      const replaced = this.#value(item, depth + 1);
      // What is there is its own, `__proto__` too.
      if (replaced !== item) (prepared ??= { ...value })[key] = replaced;
    }
    return prepared ?? value;
  }

  #map(map: ReadonlyMap<unknown, unknown>, depth: number): Raw {
    enter(depth);
    const parts = [room(0x80, map.size, 0).bytes];
    for (const [key, item] of map) {
      if (typeof key === "object" && key !== null) throw unsupported("key");
      parts.push(this.bytes(key, depth + 1), this.bytes(item, depth + 1));
    }
    return new Raw(concatAll(parts));
  }
}

/** Also ends objects that contain themselves. */
function enter(depth: number): void {
  if (depth >= MAX_DEPTH) throw new WireError("TOO_DEEP", 0, `more than ${MAX_DEPTH} levels`);
}

/** Room for an array (0x90) or a map (0x80) whose items take up to `size` bytes, and its header. */
function room(short: number, length: number, size: number) {
  const start = length < 16 ? 1 : length <= 0xffff ? 3 : 5;
  const bytes = new Uint8Array(start + size * length);
  const view = new DataView(bytes.buffer);
  const tag = short === 0x80 ? 0xde : 0xdc;
  bytes[0] = start === 1 ? short | length : start === 3 ? tag : tag + 1;
  if (start === 3) view.setUint16(1, length);
  else if (start === 5) view.setUint32(1, length);
  return { bytes, view, start };
}

/** A list of numbers, each in its shortest form; undefined where not all are numbers. */
function numbers(list: ArrayLike<unknown>): Raw | undefined {
  const { bytes, view, start } = room(0x90, list.length, 9);
  let at = start;
  for (let i = 0; i < list.length; i++) {
    const value = list[i];
    if (typeof value !== "number") return undefined;
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) at = putInteger(view, at, value);
    else {
      view.setUint8(at, 0xcb);
      view.setFloat64(at + 1, value);
      at += 9;
    }
  }
  return new Raw(at === bytes.length ? bytes : bytes.subarray(0, at));
}

/** The floats of a typed array, as they are. */
function floats(array: Float64Array | Float32Array): Raw {
  const size = 1 + array.BYTES_PER_ELEMENT;
  const { bytes, view, start } = room(0x90, array.length, size);
  for (let i = 0, at = start; i < array.length; i++, at += size) {
    view.setUint8(at, size === 9 ? 0xcb : 0xca);
    if (size === 9) view.setFloat64(at + 1, array[i]!);
    else view.setFloat32(at + 1, array[i]!);
  }
  return new Raw(bytes);
}

/** Writes an exact integer in its shortest form and answers where it ends. */
function putInteger(view: DataView, at: number, value: number): number {
  if (value >= -0x20 && value < 0x80) return view.setInt8(at, value), at + 1;
  // Two's complement: the low bits of a negative number are what is written.
  if (value >= -0x80 && value <= 0xff) {
    view.setUint8(at, value < 0 ? 0xd0 : 0xcc);
    return view.setUint8(at + 1, value), at + 2;
  }
  if (value >= -0x8000 && value <= 0xffff) {
    view.setUint8(at, value < 0 ? 0xd1 : 0xcd);
    return view.setUint16(at + 1, value), at + 3;
  }
  if (value >= -0x8000_0000 && value <= 0xffff_ffff) {
    view.setUint8(at, value < 0 ? 0xd2 : 0xce);
    return view.setUint32(at + 1, value), at + 5;
  }
  view.setUint8(at, value < 0 ? 0xd3 : 0xcf);
  return view.setBigInt64(at + 1, BigInt(value)), at + 9;
}

const float64 = (value: number): Raw => new Raw(new Writer(9).u8(0xcb).f64(value).finish());

function integer(value: bigint): number | Raw {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  const writer = new Writer(9);
  if (value === BigInt.asUintN(64, value)) return new Raw(writer.u8(0xcf).u64(value).finish());
  if (value === BigInt.asIntN(64, value)) return new Raw(writer.u8(0xd3).i64(value).finish());
  throw new WireError("OUT_OF_RANGE", 0, "an integer has 64 bits");
}

const unsupported = (detail: string): WireError => new WireError("UNSUPPORTED_VALUE", 0, detail);
