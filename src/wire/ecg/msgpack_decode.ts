/**
 * Reads one MessagePack value, strictly. The whole format is read, longer forms than needed too.
 *
 * `scan` refuses what is wrong, `@msgpack/msgpack` builds. What it would get wrong is built here: it
 * reads a message without those values, each with an extension in its place, and with names of keys
 * that no message can have where its own types have no room for the key.
 *
 * @module
 */
import { Decoder } from "@msgpack/msgpack";
import { textAt } from "../bytes.ts";
import { Ext, type Key, type Value, type ValueMap } from "./msgpack.ts";
import { exact, scan } from "./msgpack_scan.ts";

/**
 * Makes a value out of a map with text keys only; undefined leaves the map as it is. Asked where a
 * key begins with `__`, and `offset` is where that key stands.
 */
export type Revive<Extra> = (map: ValueMap<Extra>, size: number, offset: number) =>
  | Extra
  | undefined;

/**
 * The one value that `bytes` hold, made of `maxValues` at most.
 *
 * Throws what {@linkcode scan} throws, before anything is built, and what `revive` throws.
 */
export function decode<Extra = never>(
  bytes: Uint8Array,
  revive?: Revive<Extra>,
  maxValues?: number,
): Value<Extra> {
  const { plain, apart } = scan(bytes, maxValues);
  reading = new Reading(bytes, apart);
  const rest = apart.length > 0 ? reading.rest() : bytes;
  return plain
    ? plainKeys.decode(rest) as Value<Extra>
    : new Finisher(reading.otherKeys, revive).value(anyKeys.decode(rest));
}

// Lone surrogates begin no text of a message: that is ill-formed.
/** Then the offset of a key that begins with `__`, a colon and the key. */
const MARKED = "\ud800";
/** Then the place of a key that is not text among those of its message. */
const OTHER = "\udc00";

/** An extension of one byte, in place of a value that is built here. */
const STAND_IN = Uint8Array.of(0xd4, 0, 0);

/** One message on its way through the library. */
class Reading {
  /** Keys that are not text, as they came. */
  readonly otherKeys: Key[] = [];
  readonly #bytes: Uint8Array;
  readonly #apart: readonly number[];
  /** Which of `#apart` comes next. */
  #next = 0;
  /** Bytes that are missing before it in what the library reads. */
  #missing = 0;

  constructor(bytes: Uint8Array, apart: readonly number[]) {
    this.#bytes = bytes;
    this.#apart = apart;
  }

  /** The message with stand-ins. */
  rest(): Uint8Array {
    const bytes = this.#bytes, apart = this.#apart;
    let length = bytes.length;
    for (let i = 0; i < apart.length; i += 2) length -= apart[i + 1]! - apart[i]! - STAND_IN.length;
    const rest = new Uint8Array(length);
    let from = 0, at = 0;
    for (let i = 0; i < apart.length; i += 2) {
      const head = apart[i]!;
      rest.set(bytes.subarray(from, head), at);
      at += head - from;
      rest.set(STAND_IN, at);
      at += STAND_IN.length;
      from = apart[i + 1]!;
    }
    rest.set(bytes.subarray(from), at);
    return rest;
  }

  /** The extension of this type whose data the library found here, or the value it stands for. */
  extension(type: number, data: Uint8Array): unknown {
    const head = this.#apart[this.#next];
    // A real one of the same bytes is told by its place.
    const standsIn = head !== undefined && data.byteOffset === head - this.#missing + 2;
    if (!standsIn) return new Ext(type, data);
    const end = this.#apart[this.#next + 1]!;
    this.#next += 2;
    this.#missing += end - head - STAND_IN.length;
    return readApart(this.#bytes, head, end);
  }

  key(bytes: Uint8Array, at: number, length: number): string {
    const text = textAt(bytes, at, length);
    // `__proto__` is refused by the library, and would set the prototype.
    return text.startsWith("__") ? `${MARKED}${at + this.#missing}:${text}` : text;
  }

  otherKey(key: Key): string {
    return `${OTHER}${this.otherKeys.push(key) - 1}`;
  }
}

let reading: Reading;

const extensionCodec = {
  tryToEncode: () => null,
  // Timestamps (-1) too: what an application means by a type is not for us to say.
  decode: (data: Uint8Array, type: number) => reading.extension(type, data),
};

/** It remembers keys, 16 of each length up to 16 bytes, whoever sends what. */
const plainKeys = new Decoder({ extensionCodec });

const anyKeys = new Decoder({
  extensionCodec,
  keyDecoder: {
    canBeCached: () => true,
    decode: (bytes, at, length) => reading.key(bytes, at, length),
  },
  mapKeyConverter: (key) => typeof key === "string" ? key : reading.otherKey(key as Key),
});

/** A value that the library does not build: a long integer, a long text, a list of numbers. */
function readApart(bytes: Uint8Array, head: number, end: number): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = bytes[head]!;
  if (tag === 0xcf) return exact(view.getBigUint64(head + 1));
  if (tag === 0xd3) return exact(view.getBigInt64(head + 1));
  if (tag >= 0xd9 && tag <= 0xdb) {
    const start = head + 1 + (1 << (tag - 0xd9));
    return textAt(bytes, start, end - start);
  }
  const start = head + (tag === 0xdc ? 3 : tag === 0xdd ? 5 : 1);
  const length = tag === 0xdc
    ? view.getUint16(head + 1)
    : tag === 0xdd
    ? view.getUint32(head + 1)
    : tag & 0x0f;
  return numbers(view, start, length);
}

function numbers(view: DataView, start: number, length: number): (number | bigint)[] {
  const list = new Array<number | bigint>(length);
  for (let i = 0, at = start; i < length; i++) {
    const tag = view.getUint8(at++);
    if (tag === 0xcb) list[i] = view.getFloat64(at), at += 8;
    else if (tag < 0x80) list[i] = tag;
    else if (tag === 0xd1) list[i] = view.getInt16(at), at += 2;
    else if (tag === 0xcd) list[i] = view.getUint16(at), at += 2;
    else if (tag >= 0xe0) list[i] = tag - 256;
    else if (tag === 0xcc) list[i] = view.getUint8(at), at += 1;
    else if (tag === 0xd0) list[i] = view.getInt8(at), at += 1;
    else if (tag === 0xca) list[i] = view.getFloat32(at), at += 4;
    else if (tag === 0xce) list[i] = view.getUint32(at), at += 4;
    else if (tag === 0xd2) list[i] = view.getInt32(at), at += 4;
    else if (tag === 0xcf) list[i] = exact(view.getBigUint64(at)), at += 8;
    else list[i] = exact(view.getBigInt64(at)), at += 8;
  }
  return list;
}

/** Makes of what the library built with keys of its own what the message says. */
class Finisher<Extra> {
  readonly #otherKeys: readonly Key[];
  readonly #revive: Revive<Extra> | undefined;

  constructor(otherKeys: readonly Key[], revive: Revive<Extra> | undefined) {
    this.#otherKeys = otherKeys;
    this.#revive = revive;
  }

  value(built: unknown): Value<Extra> {
    if (typeof built !== "object" || built === null) return built as Value<Extra>;
    if (Array.isArray(built)) {
      for (let i = 0; i < built.length; i++) {
        if (typeof built[i] === "object") built[i] = this.value(built[i]);
      }
      return built;
    }
    return built instanceof Uint8Array || built instanceof Ext ? built : this.#map(built);
  }

  #map(built: object): Value<Extra> {
    let offset = -1;
    let others = false;
    const entries = Object.entries(built).map(([name, item]): [Key, Value<Extra>] => {
      const value = this.value(item);
      if (name.startsWith(MARKED)) {
        const colon = name.indexOf(":");
        if (offset < 0) offset = Number(name.slice(1, colon));
        return [name.slice(colon + 1), value];
      }
      if (!name.startsWith(OTHER)) return [name, value];
      others = true;
      return [this.#otherKeys[Number(name.slice(1))]!, value];
    });
    if (others) return new Map(entries);
    // Each becomes a property of its own, `__proto__` like any other.
    const map: ValueMap<Extra> = Object.fromEntries(entries);
    return (offset < 0 ? undefined : this.#revive?.(map, entries.length, offset)) ?? map;
  }
}
