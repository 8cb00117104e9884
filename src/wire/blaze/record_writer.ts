/**
 * Writes the fields and values of a BlazeBinary record. `record.ts` describes the bytes.
 *
 * @module
 */
import { type Bytes, utf8Bytes, WireError, Writer } from "../bytes.ts";
import { commonIds, CUSTOM_NAME } from "./fields.ts";
import { type RecordErrorCode, recordLimits } from "./record_limits.ts";
import { isAscii, sortedNames } from "./record_names.ts";
import { BlazeDate, Double, type FieldsInput, Uuid, type ValueInput } from "./record_value.ts";

/** One record being written. */
export class RecordWriter {
  readonly #w = new Writer();
  /** Where in the value we are, by depth: what an error says. Entries beyond the depth are stale. */
  readonly #path: (string | number)[] = [];

  constructor(head: Uint8Array) {
    this.#w.bytes(head);
  }

  finish(): Bytes {
    return this.#w.finish();
  }

  /** Writes a field count and the fields, sorted by name. */
  fields(fields: FieldsInput): void {
    const names = this.#names(fields, 0);
    this.#w.u16(names.length);
    for (const name of names) {
      this.#path[0] = name;
      const id = commonIds.get(name);
      if (id !== undefined) this.#w.u8(id);
      else {
        this.#w.u8(CUSTOM_NAME);
        this.#name(name, 0);
      }
      this.#value(fields[name], 0);
    }
  }

  /** The names in the order of the wire. */
  #names(fields: FieldsInput, depth: number): string[] {
    const names = Object.keys(fields);
    if (names.length > recordLimits.count) this.#refuse("COUNT_LIMIT", depth);
    const twice = sortedNames(names);
    if (twice !== undefined) {
      this.#path[depth] = twice;
      this.#refuse("DUPLICATE_NAME", depth + 1);
    }
    return names;
  }

  #name(name: string, depth: number): void {
    const length = name.length;
    if (length <= SHORT && isAscii(name)) {
      this.#w.u16(length);
      this.#ascii(name);
      return;
    }
    const bytes = this.#utf8(name, recordLimits.nameBytes, depth);
    this.#w.u16(bytes.length).bytes(bytes);
  }

  #value(value: ValueInput | undefined, depth: number): void {
    switch (typeof value) {
      case "string":
        return this.#string(value, depth);
      case "number":
        return this.#number(value);
      case "bigint":
        return this.#bigint(value, depth);
      case "boolean":
        this.#w.u8(0x04).u8(value ? 1 : 0);
        return;
      case "object":
        return this.#object(value, depth);
      default:
        throw new TypeError(`${this.#where(depth + 1)}: a record cannot hold ${typeof value}`);
    }
  }

  #object(value: ValueInput & object | null, depth: number): void {
    if (value === null) this.#w.u8(0x0b);
    else if (value instanceof Uuid) this.#w.u8(0x05).u64(value.high).u64(value.low);
    else if (value instanceof BlazeDate) this.#date(value);
    else if (Array.isArray(value)) this.#array(value, depth);
    else if (value instanceof Double) {
      this.#w.u8(0x03);
      this.#f64(value.value, value.nan);
    } else if (value instanceof Uint8Array) this.#data(value, depth);
    else if (value instanceof Float32Array) this.#vector(value, depth);
    else if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) {
        throw new TypeError(`${this.#where(depth + 1)}: an invalid Date`);
      }
      this.#date(BlazeDate.from(value));
    } else if (isPlain(value)) this.#dictionary(value as FieldsInput, depth);
    else {
      const name = Object.prototype.toString.call(value);
      throw new TypeError(`${this.#where(depth + 1)}: a record cannot hold ${name}`);
    }
  }

  #string(text: string, depth: number): void {
    const length = text.length;
    if (length <= SHORT && isAscii(text)) {
      if (length === 0) this.#w.u8(0x11);
      else if (length < 16) this.#w.u8(0x20 | length);
      else this.#w.u8(0x01).u32(length);
      this.#ascii(text);
      return;
    }
    const bytes = this.#utf8(text, recordLimits.valueBytes, depth);
    if (bytes.length < 16) this.#w.u8(0x20 | bytes.length);
    else this.#w.u8(0x01).u32(bytes.length);
    this.#w.bytes(bytes);
  }

  /** Short ASCII text, four bytes at a time: quicker than a call into the encoder. */
  #ascii(text: string): void {
    const length = text.length;
    let i = 0;
    for (; i + 4 <= length; i += 4) {
      this.#w.u32(
        text.charCodeAt(i) << 24 | text.charCodeAt(i + 1) << 16 |
          text.charCodeAt(i + 2) << 8 | text.charCodeAt(i + 3),
      );
    }
    for (; i < length; i++) this.#w.u8(text.charCodeAt(i));
  }

  #utf8(text: string, limit: number, depth: number): Uint8Array {
    // UTF-8 has at least one byte per UTF-16 unit: too long a text need not be encoded to be seen.
    if (text.length > limit) this.#refuse("LENGTH_LIMIT", depth + 1);
    if (!text.isWellFormed()) this.#refuse("INVALID_TEXT", depth + 1);
    const bytes = utf8Bytes(text);
    if (bytes.length > limit) this.#refuse("LENGTH_LIMIT", depth + 1);
    return bytes;
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value)) {
      this.#w.u8(0x03);
      this.#f64(value);
    } else if (value >= 0 && value <= 255) this.#w.u8(0x12).u8(value);
    else this.#w.u8(0x02).u32(Math.floor(value / 0x1_0000_0000)).u32(value);
  }

  #bigint(value: bigint, depth: number): void {
    if (value >= 0n && value <= 255n) this.#w.u8(0x12).u8(Number(value));
    else if (BigInt.asIntN(64, value) === value) this.#w.u8(0x02).i64(value);
    else throw new RangeError(`${this.#where(depth + 1)}: an int has 64 bits`);
  }

  #date(date: BlazeDate): void {
    this.#w.u8(0x06);
    this.#f64(date.seconds, date.nan);
  }

  /** A NaN is written by its bits: which ones a number has is up to the engine. */
  #f64(value: number, nan = 0x7ff8_0000_0000_0000n): void {
    if (value === value) this.#w.f64(value);
    else this.#w.u64(nan);
  }

  #data(data: Uint8Array, depth: number): void {
    if (data.length > recordLimits.valueBytes) this.#refuse("LENGTH_LIMIT", depth + 1);
    this.#w.u8(0x07).u32(data.length).bytes(data);
  }

  /** Moves the 32 bits of each element as an integer, so that the bits of a NaN survive. */
  #vector(vector: Float32Array, depth: number): void {
    if (vector.length > recordLimits.vectorElements) this.#refuse("LENGTH_LIMIT", depth + 1);
    this.#w.u8(0x0a).u32(vector.length);
    for (const bits of new Uint32Array(vector.buffer, vector.byteOffset, vector.length)) {
      this.#w.u32(bits);
    }
  }

  #array(items: readonly ValueInput[], depth: number): void {
    if (depth === recordLimits.depth) this.#refuse("DEPTH_LIMIT", depth + 1);
    // Read once: the count is written before the items, and a getter could change the array.
    const count = items.length;
    if (count > recordLimits.count) this.#refuse("COUNT_LIMIT", depth + 1);
    if (count === 0) {
      this.#w.u8(0x18);
      return;
    }
    this.#w.u8(0x08).u16(count);
    for (let i = 0; i < count; i++) {
      this.#path[depth + 1] = i;
      this.#value(items[i], depth + 1);
    }
  }

  #dictionary(entries: FieldsInput, depth: number): void {
    if (depth === recordLimits.depth) this.#refuse("DEPTH_LIMIT", depth + 1);
    const keys = this.#names(entries, depth + 1);
    if (keys.length === 0) {
      this.#w.u8(0x19);
      return;
    }
    this.#w.u8(0x09).u16(keys.length);
    for (const key of keys) {
      this.#path[depth + 1] = key;
      this.#name(key, depth + 1);
      this.#value(entries[key], depth + 1);
    }
  }

  /** The path of the value, as it would be written in code: `tags[2]`, `config.size`. */
  #where(depth: number): string {
    let text = "";
    for (const step of this.#path.slice(0, depth)) {
      if (typeof step === "number") text += `[${step}]`;
      else if (/^[A-Za-z_$][\w$]*$/.test(step)) text += text === "" ? step : `.${step}`;
      else text += `[${JSON.stringify(step.slice(0, 40))}]`;
    }
    return text.length > 200 ? `${text.slice(0, 200)}…` : text;
  }

  #refuse(code: RecordErrorCode, depth: number): never {
    throw new WireError(code, this.#w.length, this.#where(depth));
  }
}

/** Texts up to this many UTF-16 units are looked at one by one. Found by measuring. */
const SHORT = 64;

/** Whether a value is an object literal or alike, of this realm or another. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
