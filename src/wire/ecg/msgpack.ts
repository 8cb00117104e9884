/**
 * Values of MessagePack, as `msgpack_decode.ts` reads them and `msgpack_encode.ts` writes them, both
 * by `@msgpack/msgpack`.
 *
 * @module
 */

/** A list of so many numbers or more goes by the library, which on Bun takes a third longer for it. */
export const MANY = 16;

/**
 * Levels of arrays and maps: a value inside 32 of them is read and written, a 33rd is refused.
 * A container that is the whole payload is level 1.
 */
export const MAX_DEPTH = 32;

/** An extension value: an application's type (-128 to 127; below 0 is MessagePack's own). */
export class Ext {
  constructor(readonly type: number, readonly data: Uint8Array) {}
}

/** Writes `value` as float 64 even where it is integral. Never read: a float is a number. */
export class Float64 {
  constructor(readonly value: number) {}
}

/** Writes `value` as float 32, rounded to it. Never read: a float is a number. */
export class Float32 {
  constructor(readonly value: number) {}
}

/**
 * What a map may have as keys. Others are refused: there would be no telling duplicates. A float that is
 * -0 is the key 0, since a `Map` knows no other.
 */
export type Key = string | number | bigint | boolean | null;

/**
 * What decoding gives: `Extra` are the values that a reviver made out of maps.
 *
 * Integers are a number as far as those are exact, beyond that a bigint. A map is an object when
 * every key is text, else a `Map`. Binary is a view of the message: copy it to keep it.
 */
export type Value<Extra = never> =
  | Key
  | Uint8Array
  | Ext
  | Extra
  | Value<Extra>[]
  | Map<Key, Value<Extra>>
  | ValueMap<Extra>;

/** A map whose keys are all text. A key named `__proto__` is an own property like any other. */
export interface ValueMap<Extra = never> {
  [key: string]: Value<Extra>;
}
