/**
 * How much one peer may make a {@linkcode Decoder} hold or expect. BMP 1.0 names no limits, and the
 * real Blazeio has none.
 *
 * @module
 */

/** Ceilings for one frame, in bytes. Each is checked before anything is kept. */
export interface BmpLimits {
  /** Stream id as UTF-8. Blazeio's own are `io_` and a counter. */
  readonly idBytes: number;
  /** Options. The longest that is known has 17. */
  readonly optionsBytes: number;
  /** The sid of binary4, also where an ack repeats it. Blazeio's own are decimal counters. */
  readonly sidBytes: number;
  /** Digits of the length, leading zeros included. */
  readonly lengthDigits: number;
  /** Payload. It is never collected, but the peer owes us that much before its next frame. */
  readonly payloadBytes: number;
}

/** What holds unless told otherwise. */
export const BMP_LIMITS: BmpLimits = {
  idBytes: 64,
  optionsBytes: 32,
  sidBytes: 32,
  lengthDigits: 16,
  payloadBytes: 1 << 20,
};

/** Bytes of the longest header within the limits; text spends 18 on its marks, binary4 only 8. */
export const headerBytes = (limits: BmpLimits): number =>
  18 + limits.idBytes + limits.optionsBytes + limits.sidBytes + limits.lengthDigits;
