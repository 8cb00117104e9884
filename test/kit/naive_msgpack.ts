/**
 * MessagePack by the letter of its specification, for the other side of tests: nothing of `src/`, no
 * library, no haste, and no care for what is malformed.
 *
 * Integers beyond 2^53 are bigints, extensions `{ ext, data }`, maps with keys that are not text `Map`s.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** Every part in its shortest form; numbers that are integral (not -0) as integers. */
export function naiveEncode(value: unknown): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts(value)));
}

function parts(value: unknown): Buffer[] {
  if (value === null) return [Buffer.of(0xc0)];
  if (typeof value === "boolean") return [Buffer.of(value ? 0xc3 : 0xc2)];
  if (typeof value === "number") return [number(value)];
  if (typeof value === "string") {
    const text = Buffer.from(value, "utf8");
    return [head(text.length, 0xa0, 32, [0xd9, 0xda, 0xdb]), text];
  }
  if (value instanceof Uint8Array) {
    return [head(value.length, 0, 0, [0xc4, 0xc5, 0xc6]), Buffer.from(value)];
  }
  if (Array.isArray(value)) {
    return [head(value.length, 0x90, 16, [0, 0xdc, 0xdd]), ...value.flatMap(parts)];
  }
  const entries = Object.entries(value as object);
  return [head(entries.length, 0x80, 16, [0, 0xde, 0xdf]), ...entries.flat().flatMap(parts)];
}

/** A length in the byte itself, or behind one of the tags for 8, 16 and 32 bits (0: there is none). */
function head(length: number, short: number, below: number, tags: readonly number[]): Buffer {
  if (length < below) return Buffer.of(short + length);
  const bits = tags[0] && length < 2 ** 8 ? 8 : length < 2 ** 16 ? 16 : 32;
  const bytes = Buffer.alloc(1 + bits / 8);
  bytes[0] = tags[[8, 16, 32].indexOf(bits)]!;
  bytes.writeUIntBE(length, 1, bits / 8);
  return bytes;
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(9);
  const integer = Number.isSafeInteger(value) && !Object.is(value, -0);
  if (!integer) {
    bytes[0] = 0xcb;
    bytes.writeDoubleBE(value, 1);
    return bytes;
  }
  if (value >= -32 && value < 128) return Buffer.of(value & 0xff);
  const signed = value < 0;
  const bits = [8, 16, 32, 64].find((n) => signed ? value >= -(2 ** (n - 1)) : value < 2 ** n)!;
  bytes[0] = (signed ? 0xd0 : 0xcc) + [8, 16, 32, 64].indexOf(bits);
  bytes.writeBigInt64BE(BigInt.asIntN(64, BigInt(value) << BigInt(64 - bits)), 1);
  return bytes.subarray(0, 1 + bits / 8);
}

/** The one value in these bytes. */
export function naiveDecode(message: Uint8Array): unknown {
  const bytes = Buffer.from(message);
  let at = 0;
  const take = (length: number) => bytes.subarray(at, at += length);
  const unsigned = (size: number): number | bigint => {
    const found = size < 8 ? take(size).readUIntBE(0, size) : take(8).readBigUInt64BE();
    return typeof found === "bigint" && found < 2n ** 53n ? Number(found) : found;
  };
  const signed = (size: number): number | bigint => {
    const found = size < 8 ? take(size).readIntBE(0, size) : take(8).readBigInt64BE();
    const exact = typeof found === "bigint" && found > -(2n ** 53n) && found < 2n ** 53n;
    return exact ? Number(found) : found;
  };
  const text = (length: number) => take(length).toString("utf8");
  const binary = (length: number) => new Uint8Array(take(length));
  const ext = (length: number) => ({ ext: take(1).readInt8(), data: binary(length) });
  const list = (length: number) => Array.from({ length }, () => read());
  const map = (length: number) => {
    const entries = Array.from({ length }, () => [read(), read()] as const);
    return entries.every(([key]) => typeof key === "string")
      ? Object.fromEntries(entries)
      : new Map(entries);
  };
  const length = (size: number) => Number(unsigned(size));
  const read = (): unknown => {
    const tag = take(1).readUInt8();
    if (tag < 0x80) return tag;
    if (tag < 0x90) return map(tag & 15);
    if (tag < 0xa0) return list(tag & 15);
    if (tag < 0xc0) return text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    const nth = (first: number) => 1 << (tag - first);
    if (tag === 0xc0) return null;
    if (tag === 0xc2 || tag === 0xc3) return tag === 0xc3;
    if (tag >= 0xc4 && tag <= 0xc6) return binary(length(nth(0xc4)));
    if (tag >= 0xc7 && tag <= 0xc9) return ext(length(nth(0xc7)));
    if (tag === 0xca) return take(4).readFloatBE();
    if (tag === 0xcb) return take(8).readDoubleBE();
    if (tag >= 0xcc && tag <= 0xcf) return unsigned(nth(0xcc));
    if (tag >= 0xd0 && tag <= 0xd3) return signed(nth(0xd0));
    if (tag >= 0xd4 && tag <= 0xd8) return ext(nth(0xd4));
    if (tag >= 0xd9 && tag <= 0xdb) return text(length(nth(0xd9)));
    if (tag >= 0xdc && tag <= 0xdd) return list(length(2 * nth(0xdc)));
    if (tag >= 0xde) return map(length(2 * nth(0xde)));
    throw new Error("0xc1 is never used");
  };
  const value = read();
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes after the value`);
  return value;
}
