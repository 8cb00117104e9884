/**
 * What the protocol analyzer knows of a protocol. A new one is a file with a {@linkcode Dissector},
 * and a line in `dissectors.ts`.
 *
 * @module
 */

/** Some bytes of a message, and what they say. */
export interface Row {
  readonly offset: number;
  readonly length: number;
  /** Name of the field, as the protocol's text calls it; dots and brackets for what is inside. */
  readonly name: string;
  readonly value: string;
  /**
   * Set for bytes that are not in the message but came out of it: `inflated`. Their offset counts
   * from the start of those.
   */
  readonly within?: string;
}

export interface Dissector {
  readonly name: string;
  /** Whether these bytes look like one message of this protocol. Cheap; never throws. */
  detect(bytes: Uint8Array): boolean;
  /**
   * Names every byte: rows without `within` cover the message once, in order. Takes any bytes and
   * never throws: what does not follow the protocol is a row that says so.
   */
  dissect(bytes: Uint8Array): Row[];
}

/** The message ended inside a field. */
class CutShort extends Error {}

/** Cuts a message into rows, from the front. */
export class Cutter {
  readonly #view: DataView;
  #at: number;
  /** Set by whoever saw that the rest makes no sense. */
  fault: string | undefined;

  constructor(
    readonly bytes: Uint8Array,
    readonly rows: Row[],
    start = 0,
    readonly end: number = bytes.length,
    private readonly within?: string,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
  }

  get offset(): number {
    return this.#at;
  }

  get left(): number {
    return this.end - this.#at;
  }

  /** The next byte, not taken. */
  get next(): number | undefined {
    return this.left > 0 ? this.bytes[this.#at] : undefined;
  }

  /** Takes bytes as one row. */
  take(length: number, name: string, describe: (bytes: Uint8Array) => string): Uint8Array {
    if (length > this.left) throw new CutShort(`${name} wants ${length} bytes`);
    const at = this.#at;
    const bytes = this.bytes.subarray(at, at + length);
    this.#push(at, length, name, describe(bytes));
    this.#at = at + length;
    return bytes;
  }

  u8(name: string, describe: (value: number) => string = String): number {
    return this.#number(1, name, (at) => this.#view.getUint8(at), describe);
  }

  u16(name: string, describe: (value: number) => string = String): number {
    return this.#number(2, name, (at) => this.#view.getUint16(at), describe);
  }

  u32(name: string, describe: (value: number) => string = String): number {
    return this.#number(4, name, (at) => this.#view.getUint32(at), describe);
  }

  u64(name: string, describe: (value: bigint) => string = String): bigint {
    return this.#number(8, name, (at) => this.#view.getBigUint64(at), describe);
  }

  text(length: number, name: string): string {
    let found = "";
    this.take(length, name, (bytes) => {
      found = new TextDecoder().decode(bytes);
      return quoted(found);
    });
    return found;
  }

  raw(length: number, name: string): Uint8Array {
    return this.take(length, name, shortHex);
  }

  /** A cutter over the next bytes, which are counted as taken here. */
  inner(length: number, name: string): Cutter {
    if (length > this.left) throw new CutShort(`${name} wants ${length} bytes`);
    const inner = new Cutter(this.bytes, this.rows, this.#at, this.#at + length, this.within);
    this.#at += length;
    return inner;
  }

  /** Runs `cut`; what it leaves, or breaks off at, becomes a row of its own. */
  finish(cut: (cutter: Cutter) => void): void {
    try {
      cut(this);
    } catch (error) {
      if (!(error instanceof CutShort)) throw error;
      this.fault = `cut short: ${error.message}, ${this.left} are left`;
    }
    if (this.left > 0) {
      this.take(this.left, "rest", (bytes) => `${this.fault ?? "unexpected"} ${shortHex(bytes)}`);
    } else if (this.fault !== undefined) {
      this.#push(this.#at, 0, "fault", this.fault);
    }
  }

  #number<T>(
    length: number,
    name: string,
    read: (at: number) => T,
    describe: (value: T) => string,
  ): T {
    let value: T | undefined;
    this.take(length, name, () => describe(value = read(this.#at)));
    return value!;
  }

  #push(offset: number, length: number, name: string, value: string): void {
    const { within } = this;
    this.rows.push({ offset, length, name, value, ...(within === undefined ? {} : { within }) });
  }
}

/** Bytes as hex, the middle left out where there are many. */
export function shortHex(bytes: Uint8Array): string {
  const hex = (part: Uint8Array) =>
    Array.from(part, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return bytes.length <= 24 ? hex(bytes) : `${hex(bytes.subarray(0, 16))}… (${bytes.length} bytes)`;
}

/** Text for a terminal: no control characters, no end in sight cut off. */
export function quoted(text: string): string {
  const safe = JSON.stringify(text).replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return safe.length <= 120 ? safe : `${safe.slice(0, 117)}…"`;
}

/** A byte in hexadecimal. */
export const hexByte = (value: number): string => `0x${value.toString(16).padStart(2, "0")}`;

/** Names of the bits that are set. */
export function bits(value: number, names: Readonly<Record<string, number>>): string {
  const set = Object.entries(names).filter(([, bit]) => (value & bit) !== 0).map(([name]) => name);
  const known = Object.values(names).reduce((all, bit) => all | bit, 0);
  if (value & ~known) set.push(`unknown ${hexByte(value & ~known)}`);
  return `${hexByte(value)}${set.length > 0 ? ` ${set.join(" ")}` : ""}`;
}

/** A point in time, if it is one. */
export function moment(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : "no date";
}
