/**
 * What `inspect` knows of a protocol: whether bytes look like it, and what each of them is.
 *
 * @module
 */

/** A run of bytes and its meaning. */
export interface Row {
  /** Where it begins. */
  readonly offset: number;
  readonly length: number;
  /** Its name in the protocol's text. */
  readonly name: string;
  /** What it says, for people. */
  readonly value: string;
}

export interface Dissector {
  readonly name: string;
  /** Whether the bytes look like this protocol. */
  detect(bytes: Uint8Array): boolean;
  /** Names every byte. Bytes that make no sense end it with a row that says why. Never throws. */
  dissect(bytes: Uint8Array): Row[];
}
