/**
 * The `__ndarray__` wrapper: numbers of one type in a shape, as numpy's `tolist()` sends them.
 *
 * @module
 */
import { WireError } from "../bytes.ts";
import { Float64 } from "./msgpack.ts";

/**
 * What holds the items of each dtype: `bool` as 0 and 1, `float16` with room to spare because not
 * every browser has an array for it.
 */
const arrays = {
  bool: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float16: Float32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

/** The numpy types that are read and written. */
export type DType = keyof typeof arrays;

/** The array that holds the items of a dtype. */
export type NdData<D extends DType = DType> = InstanceType<typeof arrays[D]>;

/** numpy's own limit before version 2. */
const MAX_DIMENSIONS = 32;

const invalid = (detail: string, offset = 0): WireError =>
  new WireError("INVALID_NDARRAY", offset, detail);

/**
 * Numbers in a shape: `data` is flat and row-major, `shape` has one length per dimension (none for
 * a single number).
 */
export class NdArray<D extends DType = DType> {
  /** Throws `INVALID_NDARRAY` unless `data` fits `dtype` and `shape`. */
  constructor(
    readonly dtype: D,
    readonly data: NdData<D>,
    readonly shape: readonly number[] = [data.length],
  ) {
    if (!Object.hasOwn(arrays, dtype) || !(data instanceof arrays[dtype])) {
      throw invalid(`data is no ${dtype}`);
    }
    if (count(shape) !== data.length) throw invalid("the shape does not fit the data");
  }

  /** The items as the wire has them: lists in lists, one level per dimension. */
  toLists(): unknown {
    return this.#lists(0, 0, this.data.length);
  }

  #lists(dimension: number, start: number, end: number): unknown {
    const { dtype, data, shape } = this;
    if (dimension === shape.length) return item(dtype, data[start]!);
    if (dimension === shape.length - 1) return list(dtype, data, start, end);
    const length = shape[dimension]!;
    const step = length && (end - start) / length;
    return Array.from(
      { length },
      (_, i) => this.#lists(dimension + 1, start + i * step, start + (i + 1) * step),
    );
  }
}

function item(dtype: DType, value: number | bigint): unknown {
  if (dtype === "bool") return value !== 0;
  return dtype.startsWith("float") ? new Float64(Number(value)) : value;
}

/** One innermost list. `tolist()` makes Python numbers, so every float is written as float 64. */
function list(dtype: DType, data: NdData, start: number, end: number): unknown {
  if (data instanceof Float32Array) return Float64Array.from(data.subarray(start, end));
  // Bytes would be written as binary, and bigints have no array that is written as a list.
  if (
    data instanceof Uint8Array || data instanceof BigInt64Array || data instanceof BigUint64Array
  ) {
    return Array.from<number | bigint, unknown>(
      data.subarray(start, end),
      (value) => item(dtype, value),
    );
  }
  return data.subarray(start, end);
}

/**
 * The array that the three fields of a wrapper describe.
 *
 * `lists` is nested lists that match `shape`, or one flat list of as many items. Throws
 * `INVALID_NDARRAY` for an unknown dtype, a shape that does not fit, and items that are not of the
 * dtype; integers are taken as floats, but not floats with a fraction as integers.
 */
export function ndarray(lists: unknown, dtype: unknown, shape: unknown, offset = 0): NdArray {
  if (typeof dtype !== "string" || !Object.hasOwn(arrays, dtype)) {
    throw invalid("unknown dtype", offset);
  }
  if (!Array.isArray(shape)) throw invalid("the shape is no list", offset);
  const items = flatten(lists, shape, count(shape, offset), offset);
  return new NdArray(dtype as DType, typed(dtype as DType, items, offset), shape);
}

/** How many items a shape holds. */
function count(shape: readonly unknown[], offset = 0): number {
  if (shape.length > MAX_DIMENSIONS) throw invalid("too many dimensions", offset);
  let items = 1;
  for (const length of shape) {
    if (!Number.isSafeInteger(length) || length as number < 0) {
      throw invalid("a length is no size", offset);
    }
    items *= length as number;
  }
  return items;
}

function flatten(
  lists: unknown,
  shape: readonly number[],
  items: number,
  offset: number,
): readonly unknown[] {
  // A flat list of nothing is not taken: a shape like [1e9, 0] would cost its reader a gigabyte.
  const flat = Array.isArray(lists) && lists.length === items && items > 0 &&
    !Array.isArray(lists[0]);
  if (flat) return lists;
  const found: unknown[] = [];
  const walk = (value: unknown, dimension: number): void => {
    if (dimension === shape.length) {
      found.push(value);
      return;
    }
    if (!Array.isArray(value) || value.length !== shape[dimension]) {
      throw invalid("the lists do not have this shape", offset);
    }
    for (const inner of value) walk(inner, dimension + 1);
  };
  walk(lists, 0);
  return found;
}

function typed(dtype: DType, items: readonly unknown[], offset: number): NdData {
  const data = new arrays[dtype](items.length);
  const float = dtype.startsWith("float");
  for (let i = 0; i < items.length; i++) {
    const value = items[i];
    let stored: boolean;
    if (dtype === "bool") {
      stored = typeof value === "boolean";
      if (value === true) data[i] = 1;
    } else if (typeof value !== "number" && typeof value !== "bigint") {
      stored = false;
    } else if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
      const integer = typeof value === "bigint" || Number.isInteger(value) ? BigInt(value) : null;
      if (integer !== null) data[i] = integer;
      stored = data[i] === integer;
    } else {
      data[i] = Number(value);
      // An integer array keeps what fits it; a float array may round.
      stored = float || data[i] === Number(value);
    }
    if (!stored) throw invalid(`item ${i} is no ${dtype}`, offset);
  }
  return data;
}
