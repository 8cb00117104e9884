/**
 * Walks one MessagePack value and builds nothing: what is wrong with it, how many values it holds,
 * and what of it a library would not build as it is.
 *
 * `@msgpack/msgpack` replaces ill-formed UTF-8, takes the last of equal keys, has no bound on depth
 * and allocates what an array claims to hold. So nothing reaches it that did not pass here.
 *
 * @module
 */
import { Decoder } from "@msgpack/msgpack";
import { textAt, WireError } from "../bytes.ts";
import { Utf8Checker } from "../utf8.ts";
import { type Key, MANY, MAX_DEPTH } from "./msgpack.ts";

/** What there is to say about a value before it is built. */
export interface Scan {
  /** Values that building makes, the outermost, containers and keys among them. */
  readonly values: number;
  /** Whether every key of a map is text of up to {@linkcode SHORT} bytes that does not begin with `__`. */
  readonly plain: boolean;
  /**
   * What the library would get wrong or is slow at, in the order of the bytes and never one in
   * another: where each begins and ends. Lists of {@linkcode MANY} numbers or more, other integers
   * beyond 2^52, and texts of more than {@linkcode SHORT} bytes that start with U+FEFF.
   */
  readonly apart: readonly number[];
}

/** Up to so many bytes of text the library leaves a leading U+FEFF alone. */
const SHORT = 200;

/** Bytes behind the tags from 0xc0 to 0xd8; below 0 it is a length that has so many bytes. */
// deno-fmt-ignore
const SIZES = [
  0, 0, 0, 0, -1, -2, -4, -1, -2, -4, // nil, never used, booleans, binary, extensions
  4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, // floats, integers, fixed extensions
];

/** Up to so many keys of a map are compared with each other, which beats a set. */
const FEW = 8;

/**
 * Checks the one value that `bytes` hold, which may be made of `maxValues` at most.
 *
 * Throws `TRUNCATED`, `TRAILING_BYTES`, `INVALID_UTF8`, `INVALID_TAG` (0xc1), `INVALID_KEY`,
 * `DUPLICATE_KEY`, `TOO_DEEP`, and `TOO_LARGE` for more values. A container that claims more than
 * there are bytes, or more than may be, is refused before anything in it is looked at.
 */
export function scan(bytes: Uint8Array, maxValues = Infinity): Scan {
  const scanner = new Scanner(bytes, maxValues);
  scanner.value(0);
  scanner.end();
  return scanner;
}

/** A key of a map and its value, by where they are. */
export interface FieldSpan {
  /** The key, where it is text. */
  readonly name: string | undefined;
  readonly start: number;
  /** Where the value begins. */
  readonly value: number;
  readonly end: number;
}

/** The fields of the map that `bytes` hold; none where they hold something else. Throws as `scan`. */
export const fieldsIn = (bytes: Uint8Array): FieldSpan[] => new Scanner(bytes, Infinity).fields();

/** Reads keys that are not text, to tell equal ones: 1 in two forms, or as a float. */
const scalars = new Decoder({ useBigInt64: true });

class Scanner implements Scan {
  values = 1;
  plain = true;
  readonly apart: number[] = [];
  readonly #bytes: Uint8Array;
  readonly #maxValues: number;
  #at = 0;

  constructor(bytes: Uint8Array, maxValues: number) {
    this.#bytes = bytes;
    this.#maxValues = maxValues;
  }

  end(): void {
    if (this.#at < this.#bytes.length) throw new WireError("TRAILING_BYTES", this.#at);
  }

  fields(): FieldSpan[] {
    const tag = this.#bytes[this.#at++] ?? 0;
    const long = tag === 0xde || tag === 0xdf;
    if (!long && (tag < 0x80 || tag >= 0x90)) return [];
    const size = long ? this.#length(2 << (tag - 0xde)) : tag & 0x0f;
    this.#enter(2 * size, 0);
    const fields: FieldSpan[] = [];
    for (let i = 0; i < size; i++) {
      const start = this.#at;
      const length = this.#key();
      const value = this.#at;
      const name = length < 0 ? undefined : textAt(this.#bytes, value - length, length);
      this.value(1);
      fields.push({ name, start, value, end: this.#at });
    }
    return fields;
  }

  /** Moves past one value that stands inside `depth` containers. */
  value(depth: number): void {
    const head = this.#at;
    const tag = this.#bytes[head];
    if (tag === undefined) throw new WireError("TRUNCATED", head);
    this.#at++;
    if (tag < 0x80 || tag >= 0xe0) return;
    if (tag < 0x90) return this.#map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.#array(head, tag & 0x0f, depth);
    if (tag < 0xc0) return this.#text(tag & 0x1f);
    if (tag >= 0xde) return this.#map(this.#length(2 << (tag - 0xde)), depth);
    if (tag >= 0xdc) return this.#array(head, this.#length(2 << (tag - 0xdc)), depth);
    if (tag >= 0xd9) return this.#longText(head, this.#length(1 << (tag - 0xd9)));
    if (tag === 0xc1) throw new WireError("INVALID_TAG", head, "0xc1 is never used");
    const size = SIZES[tag - 0xc0]!;
    // Of binary and extensions the length comes first; the latter have a byte of type, too.
    this.#skip(size >= 0 ? size : (tag < 0xc7 ? 0 : 1) + this.#length(-size));
    if (tag === 0xcf || tag === 0xd3) {
      const high = this.#bytes[head + 1]! << 8 | this.#bytes[head + 2]!;
      // The library reads what is within 2^53, and it is enough to let all within 2^52 to it.
      if (high >= 0x10 && (tag === 0xcf || high < 0xfff0)) this.apart.push(head, this.#at);
    }
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.#at) throw new WireError("TRUNCATED", this.#at);
    this.#at += length;
  }

  /** The number in the next `size` bytes. */
  #length(size: number): number {
    const at = this.#at;
    this.#skip(size);
    let length = 0;
    for (let i = at; i < at + size; i++) length = 256 * length + this.#bytes[i]!;
    return length;
  }

  #text(length: number): void {
    const start = this.#at;
    this.#skip(length);
    const bytes = this.#bytes, end = this.#at;
    let at = start;
    while (at < end && bytes[at]! < 0x80) at++;
    if (at === end) return;
    const checker = new Utf8Checker();
    if (checker.feed(bytes.subarray(at, end)) < 0 && checker.complete) return;
    throw new WireError("INVALID_UTF8", start);
  }

  #longText(head: number, length: number): void {
    const start = this.#at;
    this.#text(length);
    if (length <= SHORT) return;
    const bytes = this.#bytes;
    if (bytes[start] === 0xef && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) {
      this.apart.push(head, this.#at);
    }
  }

  /** Checks what a container claims: `items` values of a byte or more, one level further down. */
  #enter(items: number, depth: number): void {
    const at = this.#at;
    if (depth >= MAX_DEPTH) throw new WireError("TOO_DEEP", at, `more than ${MAX_DEPTH} levels`);
    if (items > this.#bytes.length - at) throw new WireError("TRUNCATED", at);
    this.values += items;
    if (this.values > this.#maxValues) {
      throw new WireError("TOO_LARGE", at, `more than ${this.#maxValues} values`);
    }
  }

  #array(head: number, length: number, depth: number): void {
    this.#enter(length, depth);
    const bytes = this.#bytes, end = bytes.length;
    let at = this.#at;
    const before = this.apart.length;
    let numbers = true;
    for (let i = 0; i < length; i++) {
      const tag = bytes[at]!;
      // A signal is floats or samples of 16 bits by the hundred: no call for those.
      if (tag === 0xcb && at + 9 <= end) at += 9;
      else if (tag < 0x80) at++;
      else if ((tag === 0xcd || tag === 0xd1) && at + 3 <= end) at += 3;
      else {
        numbers &&= tag >= 0xe0 || tag >= 0xca && tag < 0xd4;
        this.#at = at;
        this.value(depth + 1);
        at = this.#at;
      }
    }
    this.#at = at;
    if (!numbers || length < MANY) return;
    // With what was noted of its items.
    this.apart.length = before;
    this.apart.push(head, at);
  }

  #map(size: number, depth: number): void {
    this.#enter(2 * size, depth);
    /** Where the content of each text begins and ends. */
    const texts: number[] = [];
    let seen: Set<Key> | undefined;
    for (let i = 0; i < size; i++) {
      const start = this.#at;
      const length = this.#key();
      const from = this.#at - length;
      if (size <= FEW && length >= 0) {
        if (this.#has(texts, from, this.#at)) throw this.#duplicate(start);
        texts.push(from, this.#at);
      } else {
        seen ??= new Set();
        const key = length >= 0
          ? textAt(this.#bytes, from, length)
          : scalars.decode(this.#bytes.subarray(start, this.#at)) as Key;
        const same = typeof key === "bigint" ? exact(key) : key;
        if (seen.has(same)) throw this.#duplicate(start);
        seen.add(same);
      }
      this.value(depth + 1);
    }
  }

  /** Moves past a key. The length of its text in bytes, or -1 where it is none. */
  #key(): number {
    const start = this.#at;
    const tag = this.#bytes[start]!;
    const short = tag >= 0xa0 && tag < 0xc0;
    if (short || tag >= 0xd9 && tag < 0xdc) {
      this.#at++;
      const length = short ? tag & 0x1f : this.#length(1 << (tag - 0xd9));
      this.#text(length);
      const bytes = this.#bytes, from = this.#at - length;
      if (length > SHORT || length > 1 && bytes[from] === 0x5f && bytes[from + 1] === 0x5f) {
        this.plain = false;
      }
      return length;
    }
    const container = tag >= 0x80 && tag < 0xa0 || tag >= 0xdc && tag < 0xe0;
    const binaryOrExt = tag >= 0xc4 && tag < 0xca || tag >= 0xd4 && tag < 0xd9;
    if (container || binaryOrExt) throw new WireError("INVALID_KEY", start);
    this.value(MAX_DEPTH);
    this.plain = false;
    return -1;
  }

  #has(texts: readonly number[], from: number, end: number): boolean {
    const bytes = this.#bytes;
    for (let i = 0; i < texts.length; i += 2) {
      let a = texts[i]!;
      if (texts[i + 1]! - a !== end - from) continue;
      let b = from;
      while (b < end && bytes[a] === bytes[b]) a++, b++;
      if (b === end) return true;
    }
    return false;
  }

  #duplicate(at: number): WireError {
    return new WireError("DUPLICATE_KEY", at);
  }
}

/** An integer as decoding gives it: a number while that is exact. */
export function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
