/**
 * Reads one MessagePack value, strictly. The whole format is read, longer forms than needed too.
 *
 * @module
 */
import { Reader, WireError } from "../bytes.ts";
import { Ext, type Key, MAX_DEPTH, type Value, type ValueMap } from "./msgpack.ts";

/** Makes a value out of a map with text keys only; undefined leaves the map as it is. */
export type Revive<Extra> = (map: ValueMap<Extra>, size: number, offset: number) =>
  | Extra
  | undefined;

/**
 * The one value that `bytes` hold.
 *
 * Throws `TRUNCATED`, `TRAILING_BYTES`, `INVALID_UTF8`, `INVALID_TAG` (0xc1), `INVALID_KEY`,
 * `DUPLICATE_KEY` and `TOO_DEEP`. Nothing is allocated for a count before the bytes for it are seen
 * to be there.
 */
export function decode<Extra = never>(bytes: Uint8Array, revive?: Revive<Extra>): Value<Extra> {
  const reader = new Reader(bytes);
  const value = new Decoder(reader, revive).value(reader.u8(), 0);
  reader.end();
  return value;
}

class Decoder<Extra> {
  readonly #reader: Reader;
  readonly #revive: Revive<Extra> | undefined;

  constructor(reader: Reader, revive: Revive<Extra> | undefined) {
    this.#reader = reader;
    this.#revive = revive;
  }

  /** What follows `tag`, inside `depth` containers. */
  value(tag: number, depth: number): Value<Extra> {
    const reader = this.#reader;
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.#array(tag & 0x0f, depth);
    if (tag < 0xc0) return reader.text(tag & 0x1f);
    if (tag >= 0xe0) return tag - 256;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return reader.bytes(reader.u8());
      case 0xc5:
        return reader.bytes(reader.u16());
      case 0xc6:
        return reader.bytes(reader.u32());
      case 0xc7:
        return this.#ext(reader.u8());
      case 0xc8:
        return this.#ext(reader.u16());
      case 0xc9:
        return this.#ext(reader.u32());
      case 0xca:
        return reader.f32();
      case 0xcb:
        return reader.f64();
      case 0xcc:
        return reader.u8();
      case 0xcd:
        return reader.u16();
      case 0xce:
        return reader.u32();
      case 0xcf:
        return integer(reader.u64());
      case 0xd0:
        return reader.i8();
      case 0xd1:
        return reader.i16();
      case 0xd2:
        return reader.i32();
      case 0xd3:
        return integer(reader.i64());
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#ext(1 << (tag - 0xd4));
      case 0xd9:
        return reader.text(reader.u8());
      case 0xda:
        return reader.text(reader.u16());
      case 0xdb:
        return reader.text(reader.u32());
      case 0xdc:
        return this.#array(reader.u16(), depth);
      case 0xdd:
        return this.#array(reader.u32(), depth);
      case 0xde:
        return this.#map(reader.u16(), depth);
      case 0xdf:
        return this.#map(reader.u32(), depth);
      default:
        throw new WireError("INVALID_TAG", reader.offset - 1, "0xc1 is never used");
    }
  }

  #ext(length: number): Ext {
    const type = this.#reader.i8();
    return new Ext(type, this.#reader.bytes(length));
  }

  /** Checks what a container claims: `items` values of a byte or more, one level further down. */
  #enter(items: number, depth: number): void {
    const { left, offset } = this.#reader;
    if (depth >= MAX_DEPTH) {
      throw new WireError("TOO_DEEP", offset, `more than ${MAX_DEPTH} levels`);
    }
    if (items > left) throw new WireError("TRUNCATED", offset);
  }

  #array(length: number, depth: number): Value<Extra>[] {
    this.#enter(length, depth);
    const reader = this.#reader;
    // Grown by pushing: nested claims of a million items each would add up if made beforehand.
    const array: Value<Extra>[] = [];
    for (let i = 0; i < length; i++) {
      const tag = reader.u8();
      // A signal is floats or samples of 16 bits by the hundred: no call for those.
      if (tag === 0xcb) array.push(reader.f64());
      else if (tag < 0x80) array.push(tag);
      else if (tag === 0xcd) array.push(reader.u16());
      else if (tag === 0xd1) array.push(reader.i16());
      else array.push(this.value(tag, depth + 1));
    }
    return array;
  }

  #map(size: number, depth: number): Value<Extra> {
    this.#enter(2 * size, depth);
    const start = this.#reader.offset;
    const object: ValueMap<Extra> = {};
    for (let i = 0; i < size; i++) {
      const offset = this.#reader.offset;
      const key = this.#key();
      if (typeof key !== "string") return this.#mixed(object, key, size - i, depth);
      if (Object.hasOwn(object, key)) throw duplicate(key, offset);
      const value = this.value(this.#reader.u8(), depth + 1);
      if (key === "__proto__") own(object, key, value);
      else object[key] = value;
    }
    return this.#revive?.(object, size, start) ?? object;
  }

  /** Goes on with a map at its first key that is not text: `left` entries, the first key read. */
  #mixed(object: ValueMap<Extra>, first: Key, left: number, depth: number): Value<Extra> {
    const map = new Map<Key, Value<Extra>>(Object.entries(object));
    let key = first;
    for (let i = 0; i < left; i++) {
      const offset = this.#reader.offset;
      if (i > 0) key = this.#key();
      if (map.has(key)) throw duplicate(key, offset);
      map.set(key, this.value(this.#reader.u8(), depth + 1));
    }
    return map;
  }

  #key(): Key {
    const tag = this.#reader.u8();
    if (tag >= 0xa0 && tag < 0xc0) return this.#reader.text(tag & 0x1f);
    const container = tag >= 0x80 && tag < 0xa0 || tag >= 0xdc && tag < 0xe0;
    const binaryOrExt = tag >= 0xc4 && tag < 0xca || tag >= 0xd4 && tag < 0xd9;
    if (container || binaryOrExt) throw new WireError("INVALID_KEY", this.#reader.offset - 1);
    return this.value(tag, MAX_DEPTH) as Key;
  }
}

const duplicate = (key: Key, offset: number): WireError =>
  new WireError("DUPLICATE_KEY", offset, String(key));

/** Plain assignment to `__proto__` would set the prototype. */
function own<T>(object: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(object, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

/** A number while that is exact. */
function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
