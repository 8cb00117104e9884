/**
 * CRC-32 and zlib (RFC 1950) for untrusted input, the same on servers and in browsers.
 *
 * Where the platform brings `node:zlib` that is used; elsewhere {@linkcode portable}, which is
 * JavaScript only. Both hold the output cap while they inflate, and both refuse bytes after the
 * stream: a second stream hidden there would be read by one peer and not by another.
 *
 * The portable inflating is ours: fflate's has no cap, does not say where the stream ended, takes
 * one that was cut at a byte boundary for whole and looks at neither checksums nor code tables.
 *
 * @module
 */
import { zlibSync } from "fflate";
import { type Bytes, WireError } from "./bytes.ts";

/** What this module can do. */
export interface Zlib {
  /** CRC-32 (IEEE 802.3) as an unsigned 32-bit number. */
  crc32(bytes: Uint8Array): number;
  /** One zlib stream, level 6. Its bytes differ between implementations. */
  deflate(bytes: Uint8Array): Bytes;
  /**
   * What one zlib stream holds, of any level and window.
   *
   * Throws `TOO_LARGE` when that is more than `maxOutput` bytes, and `DECOMPRESSION_FAILED` for
   * anything that is not exactly one whole stream with the right Adler-32.
   */
  inflate(bytes: Uint8Array, maxOutput: number): Bytes;
}

/** Compression level of the ECG protocol ("balanced compression/speed"). */
const LEVEL = 6;

const failed = (detail: string): WireError =>
  new WireError("DECOMPRESSION_FAILED", 0, `not one whole zlib stream (${detail})`);

const tooLarge = (maxOutput: number): WireError =>
  new WireError("TOO_LARGE", 0, `inflates to more than ${maxOutput} bytes`);

/** Refuses what the two bytes in front already rule out. Deno would inflate a preset dictionary. */
function checkHeader(bytes: Uint8Array): void {
  const [method, flags] = bytes;
  if (method === undefined || flags === undefined) throw failed("cut short");
  if ((method & 0x0f) !== 8 || method >> 4 > 7 || (method << 8 | flags) % 31 !== 0) {
    throw failed("no zlib header");
  }
  if (flags & 0x20) throw failed("preset dictionary");
}

/** The slice of `node:zlib` used here; declared so that browsers need no types of a runtime. */
interface NodeZlib {
  crc32(bytes: Uint8Array): number;
  deflateSync(bytes: Uint8Array, options: { level: number }): Bytes;
  inflateSync(
    bytes: Uint8Array,
    options: { maxOutputLength: number; info: true },
  ): { buffer: Bytes; engine: { bytesWritten: number } };
}

interface Platform {
  process?: { getBuiltinModule?: (name: string) => NodeZlib | undefined };
}

/** A Node `Buffer` as what it is underneath, so that no method of `Buffer` leaks out. */
const plain = (buffer: Bytes): Bytes =>
  new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);

const onNode = (zlib: NodeZlib): Zlib => ({
  crc32: (bytes) => zlib.crc32(bytes),
  deflate: (bytes) => plain(zlib.deflateSync(bytes, { level: LEVEL })),
  inflate(bytes, maxOutput) {
    checkHeader(bytes);
    let result: ReturnType<NodeZlib["inflateSync"]>;
    try {
      // A cap of 0 is refused as an option, so 1 stands in and the length is looked at again.
      const maxOutputLength = Math.max(1, maxOutput);
      result = zlib.inflateSync(bytes, { maxOutputLength, info: true });
    } catch (error) {
      const { code } = error as { code?: unknown };
      throw code === "ERR_BUFFER_TOO_LARGE" ? tooLarge(maxOutput) : failed(String(code));
    }
    // `bytesWritten` counts the input that went into the engine.
    if (result.engine.bytesWritten !== bytes.length) throw failed("bytes after it");
    if (result.buffer.length > maxOutput) throw tooLarge(maxOutput);
    return plain(result.buffer);
  },
});

const crcTable = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
  crcTable[byte] = crc;
}

/** Adler-32 of RFC 1950, section 8.2, as an unsigned 32-bit number. */
function adler32(bytes: Uint8Array): number {
  let a = 1, b = 0;
  // 3,800 bytes cannot take either sum past 2^32, so the slow remainder waits that long.
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(at + 3800, bytes.length);
    for (; at < end; at++) b += a += bytes[at]!;
    a %= 65521, b %= 65521;
  }
  return (b * 0x10000 + a) >>> 0;
}

/** A prefix code: how many codes there are of each length, and their symbols in order. */
interface Code {
  readonly counts: Uint16Array;
  readonly symbols: Uint16Array;
}

/** The canonical code with these lengths (RFC 1951, section 3.2.2), refused where zlib does. */
function code(lengths: Uint8Array, mustBeWhole = false): Code {
  const counts = new Uint16Array(16);
  for (const length of lengths) counts[length]!++;
  counts[0] = 0;
  let free = 1, used = 0, longest = 0;
  const offsets = new Uint16Array(16);
  for (let length = 1; length < 16; length++) {
    const count = counts[length]!;
    free = 2 * free - count;
    if (free < 0) throw failed("more codes than fit");
    offsets[length] = used;
    used += count;
    if (count > 0) longest = length;
  }
  // One code of one bit, or none at all, is how a block says that it has no or one distance.
  if (free > 0 && (mustBeWhole || longest > 1)) throw failed("incomplete code");
  const symbols = new Uint16Array(used);
  lengths.forEach((length, symbol) => {
    if (length > 0) symbols[offsets[length]!++] = symbol;
  });
  return { counts, symbols };
}

/** Order in which the lengths of the code length code come (RFC 1951, section 3.2.7). */
const lengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const fixedLengths = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280);
const fixedLiterals = code(fixedLengths);
const fixedDistances = code(new Uint8Array(32).fill(5));

/** Bases and extra bits of symbols, of which `group` in a row have equally many (section 3.2.5). */
function ranges(symbols: number, group: number, first: number): (readonly [number, number])[] {
  let base = first;
  return Array.from({ length: symbols }, (_, i) => {
    const extra = Math.max(0, Math.floor(i / group) - 1);
    const range = [base, extra] as const;
    base += 1 << extra;
    return range;
  });
}

// The last length is an exception: 258 and no extra bits.
const lengthRanges = [...ranges(28, 4, 3), [258, 0] as const];
const distanceRanges = ranges(30, 2, 1);

/** Inflates raw DEFLATE (RFC 1951), a bit at a time: small before fast. */
class Inflater {
  /** Where the next unread byte is. */
  at: number;
  readonly #input: Uint8Array;
  readonly #cap: number;
  #output: Bytes;
  #length = 0;
  #bits = 0;
  #bitCount = 0;

  constructor(input: Uint8Array, start: number, cap: number) {
    this.#input = input;
    this.at = start;
    this.#cap = cap;
    this.#output = new Uint8Array(Math.min(cap, 4 * input.length));
  }

  run(): Bytes {
    for (let last = 0; last === 0;) {
      last = this.#take(1);
      const type = this.#take(2);
      if (type === 0) this.#stored();
      else if (type === 1) this.#block(fixedLiterals, fixedDistances);
      else if (type === 2) this.#block(...this.#codes());
      else throw failed("unknown block type");
    }
    return this.#output.subarray(0, this.#length);
  }

  /** The next `count` bits, at most 16, as a number. */
  #take(count: number): number {
    while (this.#bitCount < count) {
      const byte = this.#input[this.at++];
      if (byte === undefined) throw failed("cut short");
      this.#bits |= byte << this.#bitCount;
      this.#bitCount += 8;
    }
    const value = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#bitCount -= count;
    return value;
  }

  #symbol({ counts, symbols }: Code): number {
    let bits = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      bits |= this.#take(1);
      const count = counts[length]!;
      if (bits - first < count) return symbols[index + bits - first]!;
      index += count;
      first = (first + count) << 1;
      bits <<= 1;
    }
    throw failed("unknown code");
  }

  /** Makes room for `length` bytes more. The buffer never outgrows the cap. */
  #grow(length: number): void {
    const needed = this.#length + length;
    if (needed > this.#cap) throw tooLarge(this.#cap);
    if (needed <= this.#output.length) return;
    const grown = new Uint8Array(Math.min(this.#cap, Math.max(needed, 2 * this.#output.length)));
    grown.set(this.#output.subarray(0, this.#length));
    this.#output = grown;
  }

  #stored(): void {
    // Never a whole byte is left over: bits are only taken as they are needed.
    this.#bits = this.#bitCount = 0;
    const length = this.#take(16);
    if (length !== (~this.#take(16) & 0xffff)) throw failed("length not repeated");
    if (length > this.#input.length - this.at) throw failed("cut short");
    this.#grow(length);
    this.#output.set(this.#input.subarray(this.at, this.at + length), this.#length);
    this.at += length;
    this.#length += length;
  }

  #codes(): [Code, Code] {
    const literals = this.#take(5) + 257, distances = this.#take(5) + 1, count = this.#take(4) + 4;
    if (literals > 286 || distances > 30) throw failed("more codes than symbols");
    const ofLengths = new Uint8Array(19);
    for (const symbol of lengthOrder.slice(0, count)) ofLengths[symbol] = this.#take(3);
    const lengthCode = code(ofLengths, true);
    const lengths = new Uint8Array(literals + distances);
    for (let i = 0; i < lengths.length;) {
      const symbol = this.#symbol(lengthCode);
      if (symbol < 16) {
        lengths[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) throw failed("nothing to repeat");
      const value = symbol === 16 ? lengths[i - 1]! : 0;
      const times = symbol === 18 ? 11 + this.#take(7) : 3 + this.#take(symbol === 16 ? 2 : 3);
      if (i + times > lengths.length) throw failed("more lengths than codes");
      lengths.fill(value, i, i += times);
    }
    if (lengths[256] === 0) throw failed("a block without an end");
    return [code(lengths.subarray(0, literals)), code(lengths.subarray(literals))];
  }

  #block(literals: Code, distances: Code): void {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol === 256) return;
      if (symbol < 256) {
        this.#grow(1);
        this.#output[this.#length++] = symbol;
        continue;
      }
      const length = this.#range(lengthRanges[symbol - 257]);
      const distance = this.#range(distanceRanges[this.#symbol(distances)]);
      if (distance > this.#length) throw failed("distance before the start");
      this.#grow(length);
      // Byte by byte: the copy may reach into what it writes.
      const end = this.#length + length;
      for (; this.#length < end; this.#length++) {
        this.#output[this.#length] = this.#output[this.#length - distance]!;
      }
    }
  }

  #range(range: readonly [number, number] | undefined): number {
    if (range === undefined) throw failed("unknown length or distance");
    return range[0] + this.#take(range[1]);
  }
}

/** The implementation without `node:zlib`, for browsers. Exported so that tests compare the two. */
export const portable: Zlib = {
  crc32(bytes) {
    let crc = ~0;
    for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]!) & 0xff]! ^ crc >>> 8;
    return ~crc >>> 0;
  },
  deflate: (bytes) => zlibSync(bytes, { level: LEVEL }),
  inflate(bytes, maxOutput) {
    checkHeader(bytes);
    const inflater = new Inflater(bytes, 2, maxOutput);
    const output = inflater.run();
    const after = bytes.length - inflater.at;
    if (after !== 4) throw failed(after < 4 ? "cut short" : "bytes after it");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (adler32(output) !== view.getUint32(bytes.length - 4)) throw failed("wrong Adler-32");
    return output;
  },
};

const builtin = (globalThis as Platform).process?.getBuiltinModule?.("node:zlib");

/** The implementation of this platform. */
export const { crc32, deflate, inflate }: Zlib = builtin ? onNode(builtin) : portable;
