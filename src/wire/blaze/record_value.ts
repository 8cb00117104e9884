/**
 * The values of a BlazeBinary record as JavaScript sees them (BlazeBinary record, section 3 values).
 *
 * | on the wire | decodes to | is encoded from |
 * | --- | --- | --- |
 * | string | `string` | `string` |
 * | int | `number` if it is a safe integer, else `bigint` | the same; `-0` is int 0 |
 * | double | `number`, or {@linkcode Double} where a number would be taken for an int | the same |
 * | bool, null | `boolean`, `null` | the same |
 * | uuid | {@linkcode Uuid} | `Uuid` |
 * | date | {@linkcode BlazeDate} | `BlazeDate` or `Date` |
 * | data | `Uint8Array`, a copy | `Uint8Array` |
 * | vector | `Float32Array` | `Float32Array` |
 * | array | array | array |
 * | dictionary | plain object | plain object |
 *
 * Nothing is lost: encoding what was decoded gives the same values bit for bit, NaN payloads
 * included.
 *
 * @module
 */

/** A value of a decoded record. */
export type RecordValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Double
  | Uuid
  | BlazeDate
  | Uint8Array
  | Float32Array
  | RecordValue[]
  | { [key: string]: RecordValue };

/** The fields of a decoded record by name. */
export type Fields = { [name: string]: RecordValue };

/** A value that can be encoded: every {@linkcode RecordValue}, and `Date`. */
export type ValueInput =
  | RecordValue
  | Date
  | readonly ValueInput[]
  | { readonly [key: string]: ValueInput };

/** Fields that can be encoded. */
export type FieldsInput = { readonly [name: string]: ValueInput };

/**
 * A double that a plain number cannot stand for.
 *
 * Int 5 and double 5.0 are different records, so a whole number that is a double is wrapped:
 * `{ ratio: new Double(1) }`. Decoding wraps only what needs it: doubles that are safe integers
 * (zero of either sign included) and NaN with unusual bits. All others are plain numbers.
 */
export class Double {
  /**
   * @param nan The 64 bits of a NaN other than 7ff8000000000000, since engines do not keep them
   * in a number. Not used for any other value.
   */
  constructor(readonly value: number, readonly nan?: bigint) {}

  toJSON(): number {
    return this.value;
  }
}

/** 16 bytes that identify something. Cannot change; `===` does not compare two of them. */
export class Uuid {
  /** From its halves, each an unsigned 64-bit integer. Throws `RangeError`. */
  constructor(readonly high: bigint, readonly low: bigint) {
    if (high < 0n || high > U64_MAX || low < 0n || low > U64_MAX) {
      throw new RangeError("the half of a UUID is not an unsigned 64-bit integer");
    }
  }

  /** From 16 bytes, in the order of the text form. Throws `RangeError` for another length. */
  static from(bytes: Uint8Array): Uuid {
    if (bytes.length !== 16) throw new RangeError(`a UUID has 16 bytes, not ${bytes.length}`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
    return new Uuid(view.getBigUint64(0), view.getBigUint64(8));
  }

  /** From the canonical text in either case. Throws `RangeError` for any other. */
  static parse(text: string): Uuid {
    if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
      throw new RangeError(`not a UUID: ${JSON.stringify(text)}`);
    }
    const digits = text.replaceAll("-", "");
    return new Uuid(BigInt(`0x${digits.slice(0, 16)}`), BigInt(`0x${digits.slice(16)}`));
  }

  /** The 16 bytes, a new array each time. */
  bytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, this.high);
    view.setBigUint64(8, this.low);
    return bytes;
  }

  /** Lower-case canonical text, as in `550e8400-e29b-41d4-a716-446655440000`. */
  toString(): string {
    const a = this.high.toString(16).padStart(16, "0");
    const b = this.low.toString(16).padStart(16, "0");
    return `${a.slice(0, 8)}-${a.slice(8, 12)}-${a.slice(12)}-${b.slice(0, 4)}-${b.slice(4)}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/**
 * A moment as the wire carries it: a double that counts seconds since 2001-01-01T00:00:00Z.
 *
 * A JavaScript `Date` has whole milliseconds, so going through one would change what others wrote.
 */
export class BlazeDate {
  /**
   * @param seconds Seconds since 2001-01-01T00:00:00Z; any double.
   * @param nan The 64 bits of a NaN other than 7ff8000000000000. Not used for any other value.
   */
  constructor(readonly seconds: number, readonly nan?: bigint) {}

  /** From a `Date`. Throws `RangeError` for an invalid one. */
  static from(date: Date): BlazeDate {
    const milliseconds = date.getTime();
    if (Number.isNaN(milliseconds)) throw new RangeError("not a valid date");
    return new BlazeDate((milliseconds - 1000 * EPOCH) / 1000);
  }

  /**
   * The nearest millisecond. A `Date` within ten thousand years of today comes back exactly;
   * what a `Date` cannot hold gives an invalid one.
   */
  toDate(): Date {
    return new Date(Math.round((this.seconds + EPOCH) * 1000));
  }

  toJSON(): string | null {
    return this.toDate().toJSON();
  }
}

/** Seconds from the Unix epoch to 2001-01-01T00:00:00Z. */
const EPOCH = 978_307_200;

const U64_MAX = 0xffff_ffff_ffff_ffffn;
