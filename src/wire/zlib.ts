/**
 * CRC-32 and zlib (RFC 1950) for untrusted input, the same on servers and in browsers.
 *
 * Where the platform brings `node:zlib` that is used; elsewhere {@linkcode portable}, which is
 * JavaScript only. Both hold the output cap while they inflate, and both refuse bytes after the
 * stream: a second stream hidden there would be read by one peer and not by another.
 *
 * In {@linkcode portable} fflate inflates. Header, end, cap and Adler-32 are looked at here, since it
 * does not. What DEFLATE itself says twice (the length of stored bytes, code tables that must be full)
 * it reads once: a stream made for that is read in a browser and refused by every relay.
 *
 * @module
 */
import { Gunzip, zlibSync } from "fflate";
import { type Bytes, concat, concatAll, WireError } from "./bytes.ts";

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

/** A gzip header that says nothing (RFC 1952, section 2.3). */
const MEMBER = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);
/** Where the CRC-32 and the length of a gzip member stand; fflate steps over them. */
const MEMBER_END = new Uint8Array(8);

/** Bytes to inflate before the cap is looked at: 4 MiB come out of them at most. */
const PIECE = 4096;

/**
 * What a whole raw DEFLATE stream (RFC 1951) holds.
 *
 * It goes to fflate as the first of two gzip members, since where the next one begins is the only way
 * to hear where a stream ended.
 */
function inflateRaw(stream: Uint8Array, maxOutput: number): Bytes {
  const parts: Bytes[] = [];
  let length = 0;
  let whole = false;
  const gunzip = new Gunzip((part) => {
    length += part.length;
    if (length > maxOutput) throw tooLarge(maxOutput);
    parts.push(part);
  });
  gunzip.onmember = (offset) => {
    if (offset !== MEMBER.length + stream.length + MEMBER_END.length) {
      throw failed("bytes after it");
    }
    whole = true;
  };
  try {
    // Never empty: fflate takes a first piece of nothing for 32 KiB of zeros that may be copied.
    gunzip.push(concat(MEMBER, stream.subarray(0, PIECE)));
    for (let at = PIECE; at < stream.length; at += PIECE) {
      gunzip.push(stream.subarray(at, at + PIECE));
    }
    gunzip.push(concat(MEMBER_END, MEMBER));
  } catch (error) {
    throw error instanceof WireError ? error : failed((error as Error).message);
  }
  if (!whole) throw failed("cut short");
  return concatAll(parts);
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
    if (bytes.length < 7) throw failed("cut short");
    const output = inflateRaw(bytes.subarray(2, -4), maxOutput);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (adler32(output) !== view.getUint32(bytes.length - 4)) throw failed("wrong Adler-32");
    return output;
  },
};

const builtin = (globalThis as Platform).process?.getBuiltinModule?.("node:zlib");

/** The implementation of this platform. */
export const { crc32, deflate, inflate }: Zlib = builtin ? onNode(builtin) : portable;
