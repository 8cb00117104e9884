/**
 * Bytes and the two cursors over them. Everything in `wire/` reads with {@linkcode Reader}, writes
 * with {@linkcode Writer} and refuses with {@linkcode WireError}. All numbers are big-endian.
 *
 * @module
 */

/** Bytes that a socket can send as they are. */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Bytes that do not follow their format.
 *
 * `code` is stable and made for programs; `offset` is where in the message the fault was seen.
 */
export class WireError<Code extends string = string> extends Error {
  override readonly name = "WireError";

  constructor(readonly code: Code, readonly offset: number, detail = "") {
    super(`${code} at byte ${offset}${detail && `: ${detail}`}`);
  }
}

// A leading U+FEFF is content, and ill-formed text is an error, never a replacement character.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Text to UTF-8. A lone surrogate becomes U+FFFD, as everywhere on the web. */
export const utf8Bytes = (text: string): Bytes => encoder.encode(text);

/** UTF-8 to text. Throws `INVALID_UTF8`. */
export const utf8Text = (bytes: Uint8Array, offset = 0): string =>
  asciiText(bytes, 0, bytes.length) ?? decodeText(bytes, offset);

/** The `length` bytes of UTF-8 that begin at `at`, which must be there. Throws `INVALID_UTF8`. */
export const textAt = (bytes: Uint8Array, at: number, length: number): string =>
  asciiText(bytes, at, length) ?? decodeText(bytes.subarray(at, at + length), at);

function decodeText(bytes: Uint8Array, offset: number): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new WireError("INVALID_UTF8", offset);
  }
}

/** Joins parts into one new array. */
export const concat = (...parts: readonly Uint8Array[]): Bytes => concatAll(parts);

/** Joins parts into one new array, however many: a call has room for some ten thousand. */
export function concatAll(parts: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Whether both hold the same bytes. Not constant-time: never for secrets. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Orders byte strings as an unsigned lexicographic comparison does. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Lower-case hexadecimal without separators. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** The inverse of {@linkcode hex}. Throws `RangeError` for anything that is not pairs of hex digits. */
export function fromHex(text: string): Bytes {
  if (!/^(?:[0-9a-f]{2})*$/i.test(text)) throw new RangeError("not pairs of hexadecimal digits");
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Up to this length reading ASCII here beats a call into the decoder. */
const SHORT_TEXT = 64;

/** Short ASCII text, or `undefined` for anything else. */
function asciiText(bytes: Uint8Array, at: number, length: number): string | undefined {
  if (length > SHORT_TEXT) return undefined;
  const end = at + length;
  let text = "";
  let i = at;
  // Eight characters a call: a call for each costs more than the decoder from about 24 on.
  for (; i + 8 <= end; i += 8) {
    const a = bytes[i]!, b = bytes[i + 1]!, c = bytes[i + 2]!, d = bytes[i + 3]!;
    const e = bytes[i + 4]!, f = bytes[i + 5]!, g = bytes[i + 6]!, h = bytes[i + 7]!;
    if ((a | b | c | d | e | f | g | h) > 0x7f) return undefined;
    text += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  for (; i < end; i++) {
    const byte = bytes[i]!;
    if (byte > 0x7f) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** A cursor over one message. Every read advances or throws `TRUNCATED`; nothing is copied. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;
  readonly #end: number;

  /** Reads `bytes` from `start` up to `end`. */
  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
    this.#end = end;
  }

  /** Position of the next byte, counted from the start of the message. */
  get offset(): number {
    return this.#at;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#end - this.#at;
  }

  /** Moves past `length` bytes and answers where they began. */
  #take(length: number): number {
    if (length > this.#end - this.#at) throw new WireError("TRUNCATED", this.#at);
    const at = this.#at;
    this.#at += length;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  i16(): number {
    return this.#view.getInt16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8));
  }

  f32(): number {
    return this.#view.getFloat32(this.#take(4));
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  /** The next `length` bytes, a view of the message. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** The next `length` bytes as strict UTF-8. Throws `INVALID_UTF8`. */
  text(length: number): string {
    return textAt(this.#bytes, this.#take(length), length);
  }

  /** Everything that is left, a view of the message. */
  rest(): Uint8Array {
    return this.bytes(this.left);
  }

  /** Throws `TRAILING_BYTES` unless everything was read. */
  end(): void {
    if (this.left > 0) throw new WireError("TRAILING_BYTES", this.#at);
  }
}

/** Collects one message in a buffer that grows by doubling. */
export class Writer {
  #bytes: Bytes;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Makes room for `length` bytes and answers where they begin. */
  #room(length: number): number {
    const at = this.#length;
    const needed = at + length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = needed;
    return at;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#view.setUint16(at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value);
    return this;
  }

  i64(value: bigint): this {
    const at = this.#room(8);
    this.#view.setBigInt64(at, value);
    return this;
  }

  f32(value: number): this {
    const at = this.#room(4);
    this.#view.setFloat32(at, value);
    return this;
  }

  f64(value: number): this {
    const at = this.#room(8);
    this.#view.setFloat64(at, value);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** What was written: a view of the buffer, so write no more after this. */
  finish(): Bytes {
    return this.#bytes.subarray(0, this.#length);
  }
}
