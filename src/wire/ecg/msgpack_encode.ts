/**
 * Writes one MessagePack value, every part in its shortest form.
 *
 * @module
 */
import { type Bytes, utf8Bytes, WireError, Writer } from "../bytes.ts";
import { Ext, Float32, Float64, MAX_DEPTH } from "./msgpack.ts";

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
 * `OUT_OF_RANGE` and `TOO_DEEP`, each with the offset in the output.
 */
export function encode(value: unknown, replace?: Replace): Bytes {
  const encoder = new Encoder(replace);
  encoder.value(value, 0);
  return encoder.writer.finish();
}

/** First bytes of a kind: where the length fits the byte itself, then with 8, 16 and 32 bits. */
interface Tags {
  readonly fixed: number;
  readonly below: number;
  readonly u8?: number;
  readonly u16: number;
  readonly u32: number;
}

const TEXT: Tags = { fixed: 0xa0, below: 32, u8: 0xd9, u16: 0xda, u32: 0xdb };
const BINARY: Tags = { fixed: 0, below: 0, u8: 0xc4, u16: 0xc5, u32: 0xc6 };
const ARRAY: Tags = { fixed: 0x90, below: 16, u16: 0xdc, u32: 0xdd };
const MAP: Tags = { fixed: 0x80, below: 16, u16: 0xde, u32: 0xdf };
const EXT: Tags = { fixed: 0, below: 0, u8: 0xc7, u16: 0xc8, u32: 0xc9 };

type SmallInts = Int8Array | Int16Array | Int32Array | Uint16Array | Uint32Array;

const isSmallInts = (value: object): value is SmallInts =>
  value instanceof Int16Array || value instanceof Int32Array || value instanceof Uint16Array ||
  value instanceof Int8Array || value instanceof Uint32Array;

class Encoder {
  // Holds a second of ECG as floats: growing costs more than writing them.
  readonly writer = new Writer(4096);
  readonly #replace: Replace | undefined;

  constructor(replace: Replace | undefined) {
    this.#replace = replace;
  }

  value(value: unknown, depth: number): void {
    switch (typeof value) {
      case "number":
        return this.#number(value);
      case "string":
        return this.#text(value);
      case "boolean":
        this.writer.u8(value ? 0xc3 : 0xc2);
        return;
      case "bigint":
        return this.#bigint(value);
      case "object":
        if (value === null) this.writer.u8(0xc0);
        else this.#object(value, depth);
        return;
      default:
        throw this.#error("UNSUPPORTED_VALUE", typeof value);
    }
  }

  #object(value: object, depth: number): void {
    const { writer } = this;
    if (Array.isArray(value)) {
      this.#enter(depth);
      this.#head(ARRAY, value.length);
      // By index: a hole must be refused, not skipped.
      for (let i = 0; i < value.length; i++) this.value(value[i], depth + 1);
    } else if (value instanceof Uint8Array) {
      this.#head(BINARY, value.length);
      writer.bytes(value);
    } else if (value instanceof Float64Array) {
      this.#enter(depth);
      this.#head(ARRAY, value.length);
      for (let i = 0; i < value.length; i++) writer.u8(0xcb).f64(value[i]!);
    } else if (value instanceof Float32Array) {
      this.#enter(depth);
      this.#head(ARRAY, value.length);
      for (let i = 0; i < value.length; i++) writer.u8(0xca).f32(value[i]!);
    } else if (isSmallInts(value)) {
      this.#enter(depth);
      this.#head(ARRAY, value.length);
      for (let i = 0; i < value.length; i++) this.#number(value[i]!);
    } else if (value instanceof Float64) {
      writer.u8(0xcb).f64(value.value);
    } else if (value instanceof Float32) {
      writer.u8(0xca).f32(value.value);
    } else if (value instanceof Ext) {
      this.#ext(value);
    } else if (value instanceof Map) {
      this.#enter(depth);
      this.#head(MAP, value.size);
      for (const [key, item] of value) {
        if (typeof key === "object" && key !== null) throw this.#error("UNSUPPORTED_VALUE", "key");
        this.value(key, depth + 1);
        this.value(item, depth + 1);
      }
    } else {
      const replaced = this.#replace?.(value);
      if (replaced === undefined) this.#properties(value, depth);
      else this.value(replaced, depth);
    }
  }

  #properties(value: object, depth: number): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      throw this.#error("UNSUPPORTED_VALUE", `a ${value.constructor?.name ?? "class"}`);
    }
    this.#enter(depth);
    const properties = Object.entries(value).filter(([, item]) => item !== undefined);
    this.#head(MAP, properties.length);
    for (const [key, item] of properties) {
      this.#text(key);
      this.value(item, depth + 1);
    }
  }

  #number(value: number): void {
    const { writer } = this;
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) writer.u8(0xcb).f64(value);
    else if (value >= 0) {
      if (value < 0x80) writer.u8(value);
      else if (value <= 0xff) writer.u8(0xcc).u8(value);
      else if (value <= 0xffff) writer.u8(0xcd).u16(value);
      else if (value <= 0xffff_ffff) writer.u8(0xce).u32(value);
      else writer.u8(0xcf).u64(BigInt(value));
    } // The writer keeps the low bits, which is two's complement.
    else if (value >= -0x20) writer.u8(value);
    else if (value >= -0x80) writer.u8(0xd0).u8(value);
    else if (value >= -0x8000) writer.u8(0xd1).u16(value);
    else if (value >= -0x8000_0000) writer.u8(0xd2).u32(value);
    else writer.u8(0xd3).i64(BigInt(value));
  }

  #bigint(value: bigint): void {
    const number = Number(value);
    if (Number.isSafeInteger(number)) this.#number(number);
    else if (value === BigInt.asUintN(64, value)) this.writer.u8(0xcf).u64(value);
    else if (value === BigInt.asIntN(64, value)) this.writer.u8(0xd3).i64(value);
    else throw this.#error("OUT_OF_RANGE", "an integer has 64 bits");
  }

  #text(text: string): void {
    const { length } = text;
    // Names are short and nearly always ASCII: a loop beats a call into the encoder.
    if (length < 32 && isAscii(text)) {
      this.writer.u8(0xa0 | length);
      for (let i = 0; i < length; i++) this.writer.u8(text.charCodeAt(i));
      return;
    }
    if (!text.isWellFormed()) throw this.#error("UNSUPPORTED_VALUE", "lone surrogate");
    const bytes = utf8Bytes(text);
    this.#head(TEXT, bytes.length);
    this.writer.bytes(bytes);
  }

  #ext({ type, data }: Ext): void {
    if (!Number.isInteger(type) || type < -128 || type > 127) {
      throw this.#error("OUT_OF_RANGE", `ext type ${type}`);
    }
    const fixed = [1, 2, 4, 8, 16].indexOf(data.length);
    if (fixed >= 0) this.writer.u8(0xd4 + fixed);
    else this.#head(EXT, data.length);
    this.writer.u8(type).bytes(data);
  }

  #head(tags: Tags, length: number): void {
    const { writer } = this;
    if (length < tags.below) writer.u8(tags.fixed | length);
    else if (length <= 0xff && tags.u8 !== undefined) writer.u8(tags.u8).u8(length);
    else if (length <= 0xffff) writer.u8(tags.u16).u16(length);
    else if (length <= 0xffff_ffff) writer.u8(tags.u32).u32(length);
    else throw this.#error("OUT_OF_RANGE", "a length has 32 bits");
  }

  /** Also ends objects that contain themselves. */
  #enter(depth: number): void {
    if (depth >= MAX_DEPTH) throw this.#error("TOO_DEEP", `more than ${MAX_DEPTH} levels`);
  }

  #error(code: string, detail: string): WireError {
    return new WireError(code, this.writer.length, detail);
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
